"""The budget of a sweep and how much is used: trials, minutes and worker-hours, over all its sessions."""

import math
import time

from ray.tune import Stopper

from search.cluster.driver_only import DriverOnly
from search.plan.plan import Plan
from search.record.records import State
from search.show.view import BudgetUsed
from search.study.labels_curve import most_labels_trials
from search.study.sweep_study import SweepStudy

_SPENT = "seconds_spent"
GRACE_SECONDS = 30.0
"""Time that running trials have for their last report after the budget is used up."""


class Budget:
    """Compares what all sessions of a sweep have used with the limits in its settings.

    Args:
        plan: the experiment.
        study: the record of all trials.
        began: when this session began, as `time.monotonic` counts; None means now.
    """

    def __init__(self, plan: Plan, study: SweepStudy, began: float | None = None) -> None:
        self.settings, self.repeats, self._study = plan.settings, plan.repeats, study
        self.labels = most_labels_trials(plan)
        self._earlier_seconds = float(study.user_attr(_SPENT, 0.0))
        self._start = time.monotonic() if began is None else began
        self._spent_at: float | None = None

    @property
    def seconds(self) -> float:
        """Return the wall-clock seconds so far, in all sessions."""
        return self._earlier_seconds + time.monotonic() - self._start

    @property
    def worker_hours(self) -> float:
        """Return the hours of all trials, multiplied by the workers of each."""
        return sum(r.seconds for r in self._study.records) * self.settings.workers_per_trial / 3600

    def used(self) -> BudgetUsed:
        """Return trials, minutes and worker-hours used so far, for the live view."""
        trials = sum(r.role == "search" for r in self._study.records)
        return BudgetUsed(trials, self.seconds / 60, self.worker_hours)

    def spent(self) -> bool:
        """Return whether minutes or worker-hours are used up."""
        minutes, hours = self.settings.minutes, self.settings.worker_hours
        return (minutes is not None and self.seconds >= 60 * minutes) or (
            hours is not None and self.worker_hours >= hours
        )

    def deadline(self) -> float:
        """Return when the minutes are used up, in seconds since 1970; infinity without `minutes`."""
        return time.time() + self.seconds_left()

    def seconds_left(self) -> float:
        """Return the seconds until the minutes are used up, negative after that; infinity without `minutes`."""
        minutes = self.settings.minutes
        return math.inf if minutes is None else 60 * minutes - self.seconds

    def overdue(self) -> bool:
        """Return whether the budget was used up `GRACE_SECONDS` ago."""
        if not self.spent():
            self._spent_at = None
        elif self._spent_at is None:
            self._spent_at = time.monotonic()
        return self._spent_at is not None and time.monotonic() - self._spent_at >= GRACE_SECONDS

    def allows_new_trial(self, slots: int, planned: bool = False) -> bool:
        """Return whether the budget is enough for one more search trial and the confirmation after it.

        Args:
            slots: trials that run at a time.
            planned: whether a `Planner` checks the minutes.
        """
        begun_trials = sum(r.role == "search" for r in self._study.records)
        return begun_trials < self.settings.most_trials and self.allows_training(slots, planned)

    def allows_training(self, slots: int, planned: bool = False) -> bool:
        """Return whether the budget is enough to train a begun trial further, and for the confirmation after it."""
        settings = self.settings
        if self.spent():
            return False
        seconds = self.trial_seconds()
        if seconds is None:
            return True
        further, hours = self.repeats + self.labels, settings.worker_hours
        rounds = 1 + -(-further // slots)
        in_time = planned or seconds * rounds <= self.seconds_left()
        work = seconds * (1 + further) * settings.workers_per_trial / 3600
        return in_time and (hours is None or self.worker_hours + work <= hours)

    def trial_seconds(self) -> float | None:
        """Return the mean duration of the finished trials, or None if there are none."""
        done = [r.seconds for r in self._study.records if r.state is State.FINISHED]
        return sum(done) / len(done) if done else None

    def time_left(self, slots: int) -> float | None:
        """Return the estimated seconds to the end of the sweep, or None before the first trial has ended."""
        settings, records = self.settings, self._study.records
        ended = [r.seconds for r in records if r.ended]
        if not ended:
            return None
        to_search = max(0, settings.most_trials - sum(r.role == "search" for r in records))
        to_confirm = max(0, self.repeats + self.labels - sum(r.role != "search" for r in records))
        running = sum(r.state is State.RUNNING for r in records) / 2
        left = [sum(ended) / len(ended) * (to_search + to_confirm + running) / slots, max(0.0, self.seconds_left())]
        if settings.worker_hours is not None:
            hours = max(0.0, settings.worker_hours - self.worker_hours)
            left.append(3600 * hours / (slots * settings.workers_per_trial))
        return min(left)

    def save(self) -> None:
        """Store the time used, for the next session."""
        self._study.set_user_attr(_SPENT, self.seconds)


class BudgetStopper(DriverOnly, Stopper):
    """Ends each trial at its next report when the budget is used up, and the Tune experiment if some send none."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget

    def __call__(self, trial_id: str, result: dict[str, object]) -> bool:
        """Return whether minutes or worker-hours are used up."""
        return self._budget.spent()

    def stop_all(self) -> bool:
        """Return whether the trials have had enough time for their last report."""
        return self._budget.overdue()
