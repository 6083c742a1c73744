"""How many trials wait for a process at the same time."""

from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial

from search.cluster.driver_only import DriverOnly

MAX_PENDING = "TUNE_MAX_PENDING_TRIALS_PG"
"""Tune's environment variable for the number of trials that may wait for a process; by default 1 for a searcher."""


class PendingTrials(DriverOnly, Callback):
    """Lets as many trials wait for a process as there are slots without one, and at least one.

    With Tune's default the process of a slot starts only after that of the slot before, and each takes seconds. If more
    trials waited for a free slot, the sampler would propose them before it knows the results of those that run.

    Args:
        slots: trials that may run at a time; `MAX_PENDING` must be at least this.
    """

    def __init__(self, slots: int) -> None:
        self._slots, self._pending, self._running = slots, set[str](), set[str]()

    @property
    def may_begin(self) -> bool:
        """Return whether a further trial may wait."""
        return len(self._pending) < max(1, self._slots - len(self._running))

    def add(self, trial_id: str) -> None:
        """Note that Tune gets a trial, which now waits for a process."""
        self._pending.add(trial_id)

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Note that a trial has its process."""
        self._pending.discard(trial.trial_id)
        self._running.add(trial.trial_id)

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Note that a trial has ended."""
        self._pending.discard(trial.trial_id)
        self._running.discard(trial.trial_id)

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Note that a trial has ended; its process may not even have started."""
        self.on_trial_complete(iteration, trials, trial)
