"""Disk space: how much a sweep will take, which models may go, and what happens when there is no more."""

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

from search.cluster.ray_internals import reason_of_death
from search.engine.driver_only import DriverOnly
from search.engine.stop_request import StopRequest
from search.errors import StoppedError
from search.plan.plan import Plan
from search.record.records import State, TrialRecord, ranked
from search.record.trial_names import trial_name
from search.storage.sweep_folder import SweepFolder
from search.study.selection import finalists
from search.study.sweep_study import SweepStudy
from trainable.errors import disk_is_full
from trainable.workers.messages import TrialFailure, key_of_task, read_result

MARGIN_BYTES = 32 * 2**20
"""What must stay free beside room for a checkpoint of each running trial: databases and logs grow."""
_SIGNS = ("No space left on device", "Disk quota exceeded", "database or disk is full")


def readable_size(size: float) -> str:
    """A number of bytes for readers."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def unneeded(plan: Plan, records: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Trials that have ended and whose checkpoint nobody needs any more.

    What stays: the best `keep_best` of the search, the finalists as they stand now, and their runs on further seeds.
    """
    done = [r for r in ranked(records, plan.settings.direction) if r.state is State.FINISHED]
    chosen = {record.number for record in finalists(plan, records)}
    kept = {r.key for r in [r for r in done if r.role == "search"][: plan.settings.keep_best]}
    kept |= {r.key for r in done if r.number in chosen and r.role != "no_source"}
    return [r for r in records if r.ended and r.checkpoint is not None and r.key not in kept]


class DiskWatch(DriverOnly, Callback):
    """Deletes models that nobody needs, and halts the sweep while there is still room for a last checkpoint.

    Args:
        plan: the experiment.
        study: the truth about the trials.
        stop: asked to end the sweep.
        folder: the sweep's folder.
        slots: trials at a time, each of which may write a checkpoint before the sweep has ended.
    """

    def __init__(self, plan: Plan, study: SweepStudy, stop: StopRequest, folder: SweepFolder, slots: int) -> None:
        self._plan, self._study, self._stop = plan, study, stop
        self._folder, self._storage, self._slots, self._largest = folder, folder.storage, slots, 0

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Look how much is free."""
        reserve = MARGIN_BYTES + self._slots * self._largest
        if not self._stop.requested and shutil.disk_usage(self._storage).free < reserve:
            self._stop.request(no_room_message(self._storage))

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """Hear of a write that failed in a trial."""
        said = read_result(result)
        if isinstance(said, TrialFailure) and said.disk_is_full:
            self._stop.request(no_room_message(self._storage), at_once=True)

    def on_checkpoint(self, iteration: int, trials: list[Trial], trial: Trial, checkpoint: Any, **info: Any) -> None:
        """Learn how large checkpoints are, and delete the one from which a paused trial went on."""
        own = Path(checkpoint.path)
        self._largest = max(self._largest, sum(file.stat().st_size for file in own.glob("*")))
        for former in own.parent.parent.glob(f"{trial_name(key_of_task(trial.config))}-*/checkpoint_*"):
            if former.parent != own.parent:
                _delete(former, self._folder.path)

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Hear of a checkpoint that could not be written."""
        if any(sign in reason_of_death(trial) for sign in _SIGNS):
            self._stop.request(no_room_message(self._storage), at_once=True)

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Delete what has become needless."""
        for record in unneeded(self._plan, self._study.records):
            _delete(self._folder.path / str(record.checkpoint), self._folder.path)


def remove_unneeded_checkpoints(folder: SweepFolder, plan: Plan, study: SweepStudy) -> None:
    """Delete the checkpoints that sessions of this sweep wrote and no trial needs; only while no trial runs.

    What the study does not know stays, and so does everything of a trial whose newest checkpoint is missing.
    """
    gone = {record.key for record in unneeded(plan, study.records)}
    for record in study.records:
        newest = record.checkpoint_in(folder.path)
        if newest is None or not (newest.is_dir() or record.key in gone):
            continue
        trial, _, _ = newest.parent.name.rpartition("-")  # without Tune's id, of which a paused trial gets several
        for session in study.sessions:
            for checkpoint in (folder.path / session).glob(f"{trial}-*/checkpoint_*"):
                if record.key in gone or checkpoint != newest:
                    _delete(checkpoint, folder.path)


def _delete(checkpoint: Path, sweep: Path) -> None:
    """Delete a checkpoint, unless a link leads out of the sweep's folder."""
    if checkpoint.resolve().is_relative_to(sweep.resolve()):
        shutil.rmtree(checkpoint, ignore_errors=True)


def no_room_message(folder: Path) -> str:
    """A sentence on how little is free where a folder lies."""
    free = readable_size(shutil.disk_usage(folder).free)
    return f"{folder}: the disk is full or nearly so, {free} are free; nothing is lost: make room"


def is_full_disk(error: BaseException) -> bool:
    """Whether an exception, or what caused it, says that a disk is full."""
    chain: BaseException | None = error
    while chain is not None:
        if disk_is_full(chain) or any(sign in str(chain) for sign in _SIGNS):
            return True
        chain = chain.__cause__ or chain.__context__
    return False


@contextmanager
def explain_full_disk(folder: Path) -> Iterator[None]:
    """Turn what a full disk makes of study, tracking or Tune into one sentence.

    Raises:
        StoppedError: if the disk is full.
    """
    try:
        yield
    except (OSError, SQLAlchemyError, StorageInternalError, MlflowException, TuneError, RayError) as error:
        if not is_full_disk(error):
            raise
        raise StoppedError(no_room_message(folder)) from None
