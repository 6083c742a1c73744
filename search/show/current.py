"""The state or outcome of a sweep, read from its files alone: without Ray and MLflow."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from search.errors import PlanError
from search.plan.plan import load_sweep
from search.record.records import Outcome
from search.storage.driver_lock import driver_of
from search.storage.sweep_folder import SweepFolder, load_outcome


def current_outcome(name: str, storage: Path, overrides: Mapping[str, str] | None = None) -> Outcome:
    """Return the outcome of a finished sweep, or the state of one that runs or was interrupted.

    Args:
        name: the sweep.
        storage: the folder of all sweeps.
        overrides: settings of the sweep, as `resume` takes them, to be used for what is shown: a tracking server that
            has moved, another number of finalists.

    Raises:
        PlanError: if there is no such sweep, or a setting cannot change.
    """
    folder = SweepFolder(storage, name)
    outcome = load_outcome(folder)
    if outcome is not None and outcome.complete and not overrides:
        return outcome
    plan, driver = load_sweep(folder, overrides), driver_of(folder.path)
    if not folder.study.exists():  # showing a sweep must not create its study
        begins = f"is being run by {driver}" if driver else f"`{folder.command('resume')}` begins it"
        raise PlanError([f"{name}: has no trial yet; {begins}"])
    # Imported here, so that a finished sweep or a mistake is shown without waiting for torch.
    from search.study.summary import summarise
    from search.study.sweep_study import SweepStudy

    now = summarise(plan, storage, SweepStudy(folder.study, plan.settings, plan.space, plan.base.get("seed", 0)))
    if outcome is None or not outcome.complete:
        return replace(now, notes=(f"it is being run by {driver}", *now.notes)) if driver else now
    # The test split was read once, for one run. Its score is not that of another run.
    same = (outcome.exported, outcome.winning_baseline) == (now.exported, now.winning_baseline)
    test, gain, moved = (outcome.test, outcome.gain, outcome.moved) if same else (None, now.gain, None)
    return replace(now, test=test, gain=gain, moved=moved, notes=outcome.notes, complete=True)
