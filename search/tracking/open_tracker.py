"""A sweep's tracker, and whether an earlier session has opened its run."""

from search.plan.plan import Plan
from search.storage.sweep_folder import Place, load_facts
from search.study.ledger import Ledger
from search.tracking.replay import Replay
from search.tracking.tracker import Tracker


def opened_run(plan: Plan, place: Place, ledger: Ledger) -> str | None:
    """The id of the sweep's MLflow run, if an earlier session has opened it where the plan has it."""
    same = load_facts(place)["sweep"].get("tracking_uri") == plan.settings.tracking_uri
    run_id: str | None = ledger.noted("run_id") if same else None
    return run_id


def open_tracker(plan: Plan, place: Place, ledger: Ledger) -> Tracker:
    """The tracker of a sweep, which replays from the study what MLflow has lost.

    Raises:
        ConfigError: if its URI cannot be opened, and no earlier session has opened it.
    """
    uri, facts, replay = plan.tracking_uri(place.storage), load_facts(place), Replay(plan, ledger)
    run_id = opened_run(plan, place, ledger)
    return Tracker(uri, place.outbox, place.name, facts["id"], plan.settings.system_metrics, run_id, replay)
