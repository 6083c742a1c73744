"""What a sweep may spend and has spent: trials, minutes and worker-hours, over all of its sessions."""

import time

from ray.tune import Stopper

from search.engine.driver_only import DriverOnly
from search.plan.settings import SweepSettings
from search.record.records import BudgetUsed, State
from search.study.sweep_study import SweepStudy

_SPENT = "seconds_spent"


class Budget:
    """Counts against the limits of the settings; earlier sessions of the same sweep count too."""

    def __init__(self, settings: SweepSettings, study: SweepStudy) -> None:
        self.settings, self._study = settings, study
        self._before = float(study.user_attr(_SPENT, 0.0))
        self._start = time.monotonic()

    @property
    def seconds(self) -> float:
        """Wall-clock seconds so far."""
        return self._before + time.monotonic() - self._start

    @property
    def worker_hours(self) -> float:
        """Hours of all trials, times the workers of each."""
        return sum(r.seconds for r in self._study.records) * self.settings.workers_per_trial / 3600

    def used(self) -> BudgetUsed:
        """All three, for the view."""
        trials = sum(r.role == "search" for r in self._study.records)
        return BudgetUsed(trials, self.seconds / 60, self.worker_hours)

    def spent(self) -> bool:
        """Whether minutes or worker-hours are used up."""
        minutes, hours = self.settings.minutes, self.settings.worker_hours
        return (minutes is not None and self.seconds >= 60 * minutes) or (
            hours is not None and self.worker_hours >= hours
        )

    def allows_new_trial(self, slots: int) -> bool:
        """Whether another search trial may begin and still leave what the confirmation will cost."""
        begun = sum(r.role == "search" for r in self._study.records)
        return begun < self.settings.trials and self.allows_training(slots)

    def allows_training(self, slots: int) -> bool:
        """The same for a trial that has begun before: its number does not count again."""
        settings = self.settings
        if self.spent():
            return False
        seconds = self.trial_seconds()
        if seconds is None:
            return True
        again = settings.confirm_seeds * (settings.finalists + 1) + (settings.confirm_seeds > 0)
        rounds = 1 + -(-again // slots)
        minutes, hours = settings.minutes, settings.worker_hours
        in_time = minutes is None or self.seconds + seconds * rounds <= 60 * minutes
        work = seconds * (1 + again) * settings.workers_per_trial / 3600
        return in_time and (hours is None or self.worker_hours + work <= hours)

    def trial_seconds(self) -> float | None:
        """Mean length of a finished trial; None before there is one."""
        done = [r.seconds for r in self._study.records if r.state is State.FINISHED]
        return sum(done) / len(done) if done else None

    def time_left(self, slots: int) -> float | None:
        """Estimated seconds to the end of the sweep; None while nobody can tell."""
        settings, records = self.settings, self._study.records
        ended = [r.seconds for r in records if r.ended]
        if not ended:
            return None
        to_search = max(0, settings.trials - sum(r.role == "search" for r in records))
        again = settings.confirm_seeds * (settings.finalists + 1) + 1
        to_confirm = max(0, again - sum(r.role != "search" for r in records))
        running = sum(r.state is State.RUNNING for r in records) / 2
        left = sum(ended) / len(ended) * (to_search + to_confirm + running) / slots
        return left if settings.minutes is None else min(left, max(0.0, 60 * settings.minutes - self.seconds))

    def save(self) -> None:
        """Keep the time used for the next session."""
        self._study.set_user_attr(_SPENT, self.seconds)


class BudgetStopper(DriverOnly, Stopper):
    """Ends the Tune experiment when the budget is used up; trials that run then count as stopped."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget

    def __call__(self, trial_id: str, result: dict[str, object]) -> bool:
        """Never stops one trial alone."""
        return False

    def stop_all(self) -> bool:
        """Whether minutes or worker-hours are used up."""
        return self._budget.spent()
