"""Disk space during a sweep: deletes checkpoints no longer needed, and ends the sweep before the disk is full."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlflow.exceptions import MlflowException
from optuna.exceptions import StorageInternalError
from ray.exceptions import RayError
from ray.tune import Callback, TuneError
from ray.tune.experiment import Trial
from sqlalchemy.exc import SQLAlchemyError

from search.cluster.driver_only import DriverOnly
from search.cluster.ray_internals import reason_of_death
from search.engine.schedule.slots import Slots
from search.engine.watch.stop_request import StopRequest
from search.errors import StoppedError
from search.plan.plan import Plan
from search.record.records import TrialRecord, ranked
from search.record.trial_names import ONLY_MEASURED, trial_name
from search.storage.sweep_folder import SweepFolder
from search.study.finalists import finalists
from search.study.sweep_study import SweepStudy
from trainable.errors import disk_is_full
from trainable.workers.messages import TrialFailure, key_of_task, read_result

MARGIN_BYTES = 32 * 2**20
"""Space to keep free besides one checkpoint for each running trial, because databases and logs grow."""
_FULL_DISK_MESSAGES = ("No space left on device", "Disk quota exceeded", "database or disk is full")


def readable_size(size: float) -> str:
    """Return a number of bytes in MB or GB."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def unneeded(plan: Plan, records: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Return the ended trials whose checkpoint is no longer needed.

    Kept are the best `keep_best` search trials, the current finalists, and the finalists' repeats with other seeds.
    """
    done = [r for r in ranked(records, plan.settings.direction) if r.has_model]
    chosen = {record.number for record in finalists(plan, records)}
    kept = {r.key for r in [r for r in done if r.role == "search"][: plan.settings.keep_best]}
    kept |= {r.key for r in done if r.number in chosen and r.role not in ONLY_MEASURED}
    return [r for r in records if r.ended and r.checkpoint is not None and r.key not in kept]


class DiskWatch(DriverOnly, Callback):
    """Deletes checkpoints that are no longer needed, and stops the sweep while there is room for the last checkpoints.

    Args:
        plan: the experiment.
        study: the record of all trials.
        stop: receives the request to end the sweep.
        folder: the sweep's folder.
        slots: trials that run at a time; each may write one more checkpoint before the sweep ends.
    """

    def __init__(self, plan: Plan, study: SweepStudy, stop: StopRequest, folder: SweepFolder, slots: Slots) -> None:
        self._plan, self._study, self._stop = plan, study, stop
        self._folder, self._storage, self._slots, self._largest = folder, folder.storage, slots, 0

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Stop the sweep if too little space is free."""
        reserve = MARGIN_BYTES + self._slots.now * self._largest
        if not self._stop.requested and shutil.disk_usage(self._storage).free < reserve:
            self._stop.request(no_room_message(self._storage))

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """Stop the sweep at once if a trial could not write to the disk."""
        message = read_result(result)
        if isinstance(message, TrialFailure) and message.disk_is_full:
            self._stop.request(no_room_message(self._storage), at_once=True)

    def on_checkpoint(self, iteration: int, trials: list[Trial], trial: Trial, checkpoint: Any, **info: Any) -> None:
        """Note the size of the largest checkpoint; delete the one from which a paused trial has continued."""
        newest = Path(checkpoint.path)
        self._largest = max(self._largest, sum(file.stat().st_size for file in newest.glob("*")))
        for older in newest.parent.parent.glob(f"{trial_name(key_of_task(trial.config))}-*/checkpoint_*"):
            if older.parent != newest.parent:
                _delete(older, self._folder.path)

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Stop the sweep at once if a checkpoint could not be written."""
        if any(text in reason_of_death(trial) for text in _FULL_DISK_MESSAGES):
            self._stop.request(no_room_message(self._storage), at_once=True)

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Delete checkpoints that are no longer needed now."""
        for record in unneeded(self._plan, self._study.records):
            _delete(self._folder.path / str(record.checkpoint), self._folder.path)


def remove_unneeded_checkpoints(folder: SweepFolder, plan: Plan, study: SweepStudy) -> None:
    """Delete the checkpoints of this sweep that no trial needs any more. Call it only while no trial runs.

    Checkpoints that are not in the study are kept. If a trial's newest checkpoint is missing, its others are kept.
    """
    unneeded_keys = {record.key for record in unneeded(plan, study.records)}
    for record in study.records:
        newest = record.checkpoint_in(folder.path)
        if newest is None or not (newest.is_dir() or record.key in unneeded_keys):
            continue
        trial, _, _ = newest.parent.name.rpartition("-")  # without Tune's id: a paused trial gets several
        for session in study.session_folders:
            for checkpoint in (folder.path / session).glob(f"{trial}-*/checkpoint_*"):
                if record.key in unneeded_keys or checkpoint != newest:
                    _delete(checkpoint, folder.path)


def _delete(checkpoint: Path, sweep: Path) -> None:
    """Delete a checkpoint, unless it is a link to a place outside the sweep's folder."""
    if checkpoint.resolve().is_relative_to(sweep.resolve()):
        shutil.rmtree(checkpoint, ignore_errors=True)


def no_room_message(folder: Path) -> str:
    """Return a message with the free space on the disk that holds a folder."""
    free = readable_size(shutil.disk_usage(folder).free)
    return f"{folder}: the disk is full or nearly full, {free} are free; nothing is lost: free some space"


def is_full_disk(error: BaseException) -> bool:
    """Return whether an exception, or one of its causes, says that a disk is full."""
    cause: BaseException | None = error
    while cause is not None:
        if disk_is_full(cause) or any(text in str(cause) for text in _FULL_DISK_MESSAGES):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


@contextmanager
def explain_full_disk(folder: Path) -> Iterator[None]:
    """Turn an error that a full disk causes in the study, the tracking or Tune into one sentence.

    Raises:
        StoppedError: if the disk is full.
    """
    try:
        yield
    except (OSError, SQLAlchemyError, StorageInternalError, MlflowException, TuneError, RayError) as error:
        if not is_full_disk(error):
            raise
        raise StoppedError(no_room_message(folder)) from None
