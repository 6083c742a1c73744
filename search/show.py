"""What a sweep has come to, finished or not, from its files alone: no Ray, no MLflow."""

from pathlib import Path

from search.place import Place, load_outcome
from search.records import Outcome


def current_outcome(name: str, storage: Path) -> Outcome:
    """The outcome of a finished sweep, or the state of one that runs or was interrupted.

    Raises:
        PlanError: if there is no such sweep.
    """
    place = Place(storage, name)
    outcome = load_outcome(place)
    if outcome is not None and outcome.complete:
        return outcome
    # Only now: a finished sweep is printed without waiting for torch.
    from search.finish import summarise
    from search.ledger import Ledger
    from search.plan import load_sweep

    plan = load_sweep(place)
    return summarise(plan, storage, Ledger(place.study, plan.settings, plan.space, plan.base.get("seed", 0)))
