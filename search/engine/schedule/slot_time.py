"""How much time the slots had during the search, and how much of it passed idle after the last trial had started."""

import time
from collections.abc import Callable
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial

from search.cluster.driver_only import DriverOnly
from search.engine.schedule.pending import PendingTrials
from search.engine.schedule.slots import Slots
from search.record.trial_names import Role
from search.study.sweep_study import SLOT_SECONDS, TAIL_SECONDS, SweepStudy
from trainable.workers.messages import key_of_task

AFTER_THE_SEARCH: tuple[Role, ...] = ("refit", "labels")
"""Roles of trials that begin only when the search and the repeats have ended."""


class SlotTime(DriverOnly, Callback):
    """Adds up the seconds of the slots, and stores them in the study at the end of a session.

    Args:
        slots: trials that can run at a time.
        trials: the trials that run. This callback must come before it, so that a trial that starts does not run yet.
        study: the record of all trials.
        clock: returns the current time in seconds; it never goes back.
    """

    def __init__(
        self, slots: Slots, trials: PendingTrials, study: SweepStudy, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._slots, self._trials, self._study, self._clock = slots, trials, study, clock
        self._seconds, self._last = float(study.user_attr(SLOT_SECONDS, 0.0)), clock()
        self._tail: float | None = None  # None until a trial starts

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Add the time since the last step."""
        now = self._clock()
        elapsed, self._last = now - self._last, now
        self._seconds += self._slots.now * elapsed
        if self._tail is not None:
            self._tail += max(0, self._slots.now - len(self._trials.running)) * elapsed

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Begin the time after the last start anew, unless the trial starts a second time, or after the search."""
        role = self._study.record(key_of_task(trial.config)).role
        if trial.trial_id not in self._trials.running and role not in AFTER_THE_SEARCH:
            self._tail = 0.0

    def on_experiment_end(self, trials: list[Trial], **info: Any) -> None:
        """Store the seconds."""
        self.on_step_begin(0, trials)
        self._study.set_user_attr(SLOT_SECONDS, self._seconds)
        if self._tail is not None:
            self._study.set_user_attr(TAIL_SECONDS, self._tail)
