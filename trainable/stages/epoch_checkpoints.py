"""The ladder of a source stage: its state after each epoch, from which stages of other lengths go on.

Under a schedule that holds its peak (`STEADY` of the optimisers) stages that differ in `epochs` alone are the same
until one of them decays or ends. That common part is their trunk. Its state after each epoch, a rung, serves all
of them; a stage's other states are its own, and there is but the newest. One lease guards a ladder, so that no
epoch is trained by two at a time; it is a file lock, which the operating system frees when its holder dies.
"""

import os
import shutil
import time
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from trainable.loop.optimizers import STEADY, steady_steps
from trainable.loop.training import HEARTBEAT_SECONDS, StageTraining
from trainable.progress import Report
from trainable.settings.stage import Source
from trainable.store.checksums import intact, write_sealed
from trainable.store.files import CACHE_BYTES, longest_unused


def trunk_of(stage: Source) -> Source:
    """The same for all stages that share a trunk: what they would be without their length and their decay."""
    if stage.schedule not in STEADY:
        return stage
    decay = Source.model_fields["decay_fraction"].default
    return stage.model_copy(update={"schedule": "constant", "epochs": 1, "decay_fraction": decay})


class Ladder:
    """The saved states of one trunk, `FOLDER/trunk/STEP`, and of one stage beyond it, `FOLDER/STAGE/STEP`.

    Args:
        folder: the trunk's, in the folder of all ladders.
        stage: the stage's own address.
        training: the stage, whose state is loaded and saved.
    """

    def __init__(self, folder: Path, stage: str, training: StageTraining) -> None:
        self.folder, self.training = folder, training
        self._trunk, self._own = folder / "trunk", folder / stage
        self._shared = steady_steps(training.steps_per_epoch, training.stage)
        self._saved = time.monotonic()
        self._lease = _lease_of(folder)

    def take(self) -> bool:
        """Take the lease, the right to load, save and delete; waits for it a while, returns whether it was had."""
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self._lease.acquire(timeout=HEARTBEAT_SECONDS)
        except Timeout:
            return False
        return True

    def release(self) -> None:
        """Give the lease back, if it was had."""
        self._lease.release()

    def climb(self) -> None:
        """Go on from the highest state that leads to this stage's end, the same on every rank."""
        ranks = self.training.setting.ranks
        step = ranks.broadcast_number(self._highest() if ranks.rank == 0 else 0)
        if step:
            rung = self._place(step)
            os.utime(rung)  # its age is the time since its last use
            self.training.load(rung)

    def _highest(self) -> int:
        """After how many steps that state was saved; 0 where there is none. Damaged ones are deleted."""
        trunk = [step for step in _steps(self._trunk) if step <= self._shared]
        for step in sorted([*trunk, *_steps(self._own)], reverse=True):
            if intact(self._place(step), "the source stage goes on from an earlier state"):
                return step
            shutil.rmtree(self._place(step))
        return 0

    def keep(self, report: Report) -> None:
        """Save the state that a report has told, if it is a rung, or if the last saving was long ago."""
        place = self._place(report.step)
        late = not report.last and time.monotonic() - self._saved > HEARTBEAT_SECONDS
        if place.exists() or not (late or (place.parent == self._trunk and self._is_rung(report.step))):
            return
        write_sealed(place, self.training.save)
        self._saved = time.monotonic()
        self._drop_below(report.step)
        self._make_room(place)

    def clear(self) -> None:
        """Delete what nobody needs once the stage has ended: all but the rungs."""
        shutil.rmtree(self._own, ignore_errors=True)
        self._drop_below(self.training.progress.step)

    def _place(self, step: int) -> Path:
        return (self._trunk if step <= self._shared else self._own) / str(step)

    def _is_rung(self, step: int) -> bool:
        return step % self.training.steps_per_epoch == 0

    def _drop_below(self, step: int) -> None:
        """Delete the states below a step that are not rungs."""
        for folder in (self._trunk, self._own):
            for older in _steps(folder):
                if older < step and not (folder == self._trunk and self._is_rung(older)):
                    shutil.rmtree(folder / str(older))

    def _make_room(self, newest: Path) -> None:
        """Bring all ladders within their bounds; states that somebody is just using stay."""
        for place in longest_unused(self.folder.parent.glob("*/*/*"), CACHE_BYTES):
            if place.is_relative_to(self.folder):
                if place != newest:
                    shutil.rmtree(place)
                continue
            with suppress(Timeout), _lease_of(place.parents[1]).acquire(blocking=False):
                shutil.rmtree(place, ignore_errors=True)


def _lease_of(folder: Path) -> FileLock:
    return FileLock(folder / "lock")


def _steps(folder: Path) -> list[int]:
    """The steps after which states were saved; those half written have other names."""
    return [int(place.name) for place in folder.glob("[0-9]*")]
