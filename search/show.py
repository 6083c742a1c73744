"""What a sweep has come to, finished or not, from its files alone: no Ray, no MLflow."""

from pathlib import Path

from search.finish import summarise
from search.ledger import Ledger
from search.records import Outcome
from search.sweep import Place, load_outcome, load_sweep


def current_outcome(name: str, storage: Path) -> Outcome:
    """The outcome of a finished sweep, or the state of one that runs or was interrupted.

    Raises:
        PlanError: if there is no such sweep.
    """
    place = Place(storage, name)
    plan = load_sweep(place)
    outcome = load_outcome(place)
    if outcome is not None and outcome.complete:
        return outcome
    ledger = Ledger(place.study, plan.settings, plan.space, plan.base.get("seed", 0))
    return summarise(plan, storage, ledger)
