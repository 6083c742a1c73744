"""Checkpoints of a source stage after each epoch, from which stages with more or fewer epochs continue.

With `constant` or `warmup_stable_decay`, the learning rate stays constant after warm-up. Stages that differ only in
`epochs` therefore have identical steps until the shorter one starts its decay or ends. These are their shared epochs,
and each stage can continue from the checkpoint after any of them. A stage's checkpoints beyond its shared epochs serve
only itself, and only the newest is kept. A file lock makes sure that only one process at a time trains these epochs.
The operating system releases the lock when the process dies.
"""

import os
import shutil
import time
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from trainable.loop.optimizers import shares_epochs, steps_independent_of_epochs
from trainable.loop.training import HEARTBEAT_SECONDS, StageTraining
from trainable.progress import Report
from trainable.settings.stage import Source
from trainable.store.checksums import verify_or_warn, write_with_checksums
from trainable.store.files import CACHE_BYTES, longest_unused


def shared_settings(stage: Source) -> Source:
    """Return settings that are equal for all stages with the same shared epochs.

    These are the stage's settings with `epochs`, `schedule` and `decay_fraction` set to fixed values.
    """
    if not shares_epochs(stage):
        return stage
    decay = Source.model_fields["decay_fraction"].default
    return stage.model_copy(update={"schedule": "constant", "epochs": 1, "decay_fraction": decay})


class EpochCheckpoints:
    """The checkpoints of shared epochs, `FOLDER/trunk/STEP`, and those of one stage alone, `FOLDER/STAGE/STEP`.

    Args:
        folder: the folder for all stages with the same shared epochs.
        stage: key of the stage, which names the folder of its own checkpoints.
        training: the stage, whose state is loaded and saved.
    """

    def __init__(self, folder: Path, stage: str, training: StageTraining) -> None:
        self.folder, self.training = folder, training
        self._shared, self._own = folder / "trunk", folder / stage
        self._shared_steps = steps_independent_of_epochs(training.steps_per_epoch, training.stage)
        self._last_saved = time.monotonic()
        self._lock = _lock_of(folder)

    def acquire(self) -> bool:
        """Wait up to `HEARTBEAT_SECONDS` for the lock, which is required to load, save or delete.

        Return whether it was acquired.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(timeout=HEARTBEAT_SECONDS)
        except Timeout:
            return False
        return True

    def release(self) -> None:
        """Release the lock if this process has it."""
        self._lock.release()

    def load_latest(self) -> None:
        """Load the latest checkpoint that this stage can continue from, the same on every rank."""
        ranks = self.training.context.ranks
        step = ranks.broadcast_number(self._latest_step() if ranks.rank == 0 else 0)
        if step:
            checkpoint = self._checkpoint(step)
            os.utime(checkpoint)  # the modification time marks the last use
            self.training.load(checkpoint)

    def _latest_step(self) -> int:
        """Return the step of the latest usable checkpoint, 0 if there is none. Delete damaged checkpoints."""
        shared = [step for step in _steps(self._shared) if step <= self._shared_steps]
        for step in sorted([*shared, *_steps(self._own)], reverse=True):
            if verify_or_warn(self._checkpoint(step), "the source stage continues from an earlier checkpoint"):
                return step
            shutil.rmtree(self._checkpoint(step))
        return 0

    def save_if_due(self, report: Report) -> None:
        """Save the state at a report if a shared epoch ends there, or if the last checkpoint is old."""
        checkpoint = self._checkpoint(report.step)
        old = not report.last and time.monotonic() - self._last_saved > HEARTBEAT_SECONDS
        if checkpoint.exists() or not (old or (checkpoint.parent == self._shared and self._ends_epoch(report.step))):
            return
        write_with_checksums(checkpoint, self.training.save)
        self._last_saved = time.monotonic()
        self._delete_before(report.step)
        self._limit_size(checkpoint)

    def clean_up(self) -> None:
        """Delete everything except the checkpoints of shared epochs, once the stage has ended."""
        shutil.rmtree(self._own, ignore_errors=True)
        self._delete_before(self.training.progress.step)

    def _checkpoint(self, step: int) -> Path:
        return (self._shared if step <= self._shared_steps else self._own) / str(step)

    def _ends_epoch(self, step: int) -> bool:
        return step % self.training.steps_per_epoch == 0

    def _delete_before(self, step: int) -> None:
        """Delete the checkpoints before a step, except those of shared epochs."""
        for folder in (self._shared, self._own):
            for older in _steps(folder):
                if older < step and not (folder == self._shared and self._ends_epoch(older)):
                    shutil.rmtree(folder / str(older))

    def _limit_size(self, newest: Path) -> None:
        """Delete the longest unused checkpoints of all stages beyond `CACHE_BYTES`, except those of locked folders."""
        for checkpoint in longest_unused(self.folder.parent.glob("*/*/*"), CACHE_BYTES):
            if checkpoint.is_relative_to(self.folder):
                if checkpoint != newest:
                    shutil.rmtree(checkpoint)
                continue
            with suppress(Timeout), _lock_of(checkpoint.parents[1]).acquire(blocking=False):
                shutil.rmtree(checkpoint, ignore_errors=True)


def _lock_of(folder: Path) -> FileLock:
    return FileLock(folder / "lock")


def _steps(folder: Path) -> list[int]:
    """Return the steps of the checkpoints in a folder. The name of a half-written checkpoint is not a number."""
    return [int(checkpoint.name) for checkpoint in folder.glob("[0-9]*")]
