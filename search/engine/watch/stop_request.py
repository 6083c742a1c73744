"""A request to end a sweep early and in good order, for example after Ctrl-C. The sweep can be resumed."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from ray.tune import Callback, Stopper
from ray.tune.experiment import Trial

from search.cluster.driver_only import DriverOnly
from search.cluster.ray_internals import ask_for_checkpoint
from trainable.workers.messages import TrialReport, read_result


class StopRequest(DriverOnly, Stopper, Callback):
    """Asks the sweep to end, and stores why; each running trial then stops at its next report, with a checkpoint.

    Tune uses it as a stopper, which ends a trial at a report, and as a callback, which requests the checkpoint and
    ends the experiment when all trials that were running have stopped.
    """

    def __init__(self) -> None:
        self.requested = False
        self.problem: str | None = None
        """The problem that the user must fix before a resume; None after Ctrl-C."""
        self._at_once = False
        self._still_running: list[Trial] | None = None

    def request(self, problem: str | None = None, at_once: bool = False) -> None:
        """Ask the sweep to end; with `at_once` it does not wait for checkpoints."""
        self.requested, self.problem, self._at_once = True, self.problem or problem, self._at_once or at_once

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Return whether a trial ends at this report."""
        return self.requested

    def stop_all(self) -> bool:
        """Return False: running trials write a checkpoint first."""
        return False

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """Request a checkpoint, which Tune writes before it stops the trial."""
        if self.requested and isinstance(read_result(result), TrialReport):  # a failed trial writes no checkpoint
            ask_for_checkpoint(result)

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """End the experiment as soon as all trials that were running have stopped."""
        if not self.requested:
            return
        if self._still_running is None:
            self._still_running = [trial for trial in trials if trial.status == Trial.RUNNING]
        if self._at_once or not any(trial.status == Trial.RUNNING for trial in self._still_running):
            raise KeyboardInterrupt


@contextmanager
def stop_on_signals(stop: StopRequest, show: Callable[[str], None]) -> Iterator[None]:
    """Turn the first Ctrl-C or SIGTERM into a stop request, and the second into a KeyboardInterrupt.

    Args:
        stop: receives the request.
        show: prints one message for the user.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread receives signals
        return

    def on_signal(number: int, frame: FrameType | None) -> None:
        if stop.requested:
            raise KeyboardInterrupt
        stop.request()
        show("Stopping: running trials write a checkpoint at their next report; press Ctrl-C again to stop at once")

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
