"""Ending a sweep before its time and in good order: on Ctrl-C or where disk space ends. What is left can be resumed."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from ray.tune import Callback, Stopper
from ray.tune.experiment import Trial

from search.cluster.ray_internals import ask_for_checkpoint
from search.engine.driver_only import DriverOnly
from trainable.workers.messages import TrialReport, read_result


class StopRequest(DriverOnly, Stopper, Callback):
    """Whether the sweep is to end now, and why; once it is, each trial stops at its next report, with a checkpoint.

    For Tune it is both a stopper, which ends a trial at a report, and a callback, which asks for the checkpoint
    and ends the experiment when no trial that ran is left.
    """

    def __init__(self) -> None:
        self.requested = False
        self.problem: str | None = None
        """What must be seen to before a resume; none after Ctrl-C."""
        self._at_once = False
        self._awaited: list[Trial] | None = None

    def request(self, problem: str | None = None, at_once: bool = False) -> None:
        """End the sweep; `at_once` waits for no checkpoint."""
        self.requested, self.problem, self._at_once = True, self.problem or problem, self._at_once or at_once

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Whether a trial ends at this report."""
        return self.requested

    def stop_all(self) -> bool:
        """Never: trials that run are to be saved first."""
        return False

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """Ask for a checkpoint, which Tune writes before it stops the trial."""
        if self.requested and isinstance(read_result(result), TrialReport):  # one that has failed leaves none
            ask_for_checkpoint(result)

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """End the experiment as soon as every trial that ran has stopped."""
        if not self.requested:
            return
        if self._awaited is None:
            self._awaited = [trial for trial in trials if trial.status == Trial.RUNNING]
        if self._at_once or not any(trial.status == Trial.RUNNING for trial in self._awaited):
            raise KeyboardInterrupt


@contextmanager
def stop_on_signals(stop: StopRequest, say: Callable[[str], None]) -> Iterator[None]:
    """Within it, the first Ctrl-C or SIGTERM asks for a stop, and the second is a KeyboardInterrupt."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread hears signals
        return

    def hear(number: int, frame: FrameType | None) -> None:
        if stop.requested:
            raise KeyboardInterrupt
        stop.request()
        say("Stopping: trials that run write a checkpoint at their next report; once more stops at once")

    before = {number: signal.signal(number, hear) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
