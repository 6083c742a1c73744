"""Ends trials that no longer report anything. They count as lost, and their slot runs the next trial."""

import time
from collections.abc import Callable
from typing import Any

import ray
from ray.tune import Callback
from ray.tune.experiment import Trial

from search.cluster.driver_only import DriverOnly
from search.cluster.ray_internals import actor_of, allow_deaths
from search.study.sweep_study import SweepStudy
from trainable.workers.messages import TrialFailure, key_of_task

STANDSTILL_SECONDS = 20.0
"""A longer pause between two steps of Tune means that the driver itself stood still."""


class HungTrials(DriverOnly, Callback):
    """Kills the actor of a trial that has sent no report, not even a heartbeat, for a given time.

    Args:
        study: stores the reason, before Tune notices the death.
        minutes: longest time without a report.
        clock: returns the current time in seconds; it never goes back.
    """

    def __init__(self, study: SweepStudy, minutes: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._study, self._minutes, self._clock = study, minutes, clock
        self._last_report: dict[str, float] = {}  # Tune's trial id -> time of its last report or checkpoint
        self._last_step = clock()

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """Note the time of a report."""
        self._last_report[trial.trial_id] = self._clock()

    def on_checkpoint(self, iteration: int, trials: list[Trial], trial: Trial, checkpoint: Any, **info: Any) -> None:
        """Note the time of a checkpoint, as writing it may take long."""
        self._last_report[trial.trial_id] = self._clock()

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """End each running trial whose last report is too old."""
        now = self._clock()
        pause = now - self._last_step
        # The driver itself stood still, for example while its study was locked, and received no reports meanwhile.
        if pause > STANDSTILL_SECONDS:
            self._last_report = {trial_id: last + pause for trial_id, last in self._last_report.items()}
        self._last_step = now
        for trial in trials:
            if trial.status != Trial.RUNNING:
                self._last_report.pop(trial.trial_id, None)
            elif now - self._last_report.setdefault(trial.trial_id, now) > 60 * self._minutes:
                self._end(trial)

    def _end(self, trial: Trial) -> None:
        actor = actor_of(trial)
        if actor is None:  # Tune is already handling its death
            return
        sentence = f"no report for {self._minutes:g} minutes (sweep.hang_minutes): its process was ended"
        self._study.note_failure(key_of_task(trial.config), TrialFailure(sentence))
        allow_deaths(trial, 0)  # it would hang again
        self._last_report[trial.trial_id] = self._clock()  # Tune notices the death shortly
        ray.kill(actor)
