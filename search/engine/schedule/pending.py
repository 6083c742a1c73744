"""How many trials run or wait for a process at the same time."""

import sys
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial

from search.cluster.driver_only import DriverOnly
from search.engine.schedule.slots import Slots
from search.plan.settings import SweepSettings

NO_LIMIT = {"TUNE_MAX_PENDING_TRIALS_PG": str(sys.maxsize)}
"""Tune's environment variable for the number of trials that may wait for a process; by default 1 for a searcher."""


class PendingTrials(DriverOnly, Callback):
    """Lets as many trials wait for a process as there are slots without one, and at least one if nothing limits them.

    With Tune's default the process of a slot starts only after that of the slot before, and each takes seconds. If more
    trials waited for a free slot, the sampler would propose them before it knows the results of those that run.

    `max_concurrent` limits the trials at a time, and so do the slots if a trial has several workers: they take their
    resources only after Tune has started the trial. Other trials are limited by their resources.

    Args:
        slots: trials that can run at a time.
        settings: settings of the sweep.
    """

    def __init__(self, slots: Slots, settings: SweepSettings) -> None:
        self._slots, self._most = slots, settings.max_concurrent
        self._at_least = 1 if self._most is None and settings.workers_per_trial == 1 else 0
        self._pending = set[str]()
        self.running = set[str]()
        """Tune's ids of the trials that have a process, or get another one."""

    @property
    def may_begin(self) -> bool:
        """Return whether a further trial may wait."""
        most = self._most or self._slots.now  # an autoscaler adds nodes for the trials that wait
        return len(self._pending) < max(self._at_least, most - len(self.running))

    def add(self, trial_id: str) -> None:
        """Note that Tune gets a trial, which now waits for a process."""
        self._pending.add(trial_id)

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Note that a trial has its process."""
        self._pending.discard(trial.trial_id)
        self.running.add(trial.trial_id)

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Note that a trial has ended."""
        self._pending.discard(trial.trial_id)
        self.running.discard(trial.trial_id)

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Note that a trial has ended; its process may not even have started."""
        self.on_trial_complete(iteration, trials, trial)
