"""Trials that no longer say anything: ended, counted as lost, and their slot goes on."""

import time
from collections.abc import Callable
from typing import Any

import ray
from ray.tune import Callback
from ray.tune.experiment import Trial

from search.cluster.ray_internals import actor_of, allow_deaths
from search.engine.driver_only import DriverOnly
from search.study.sweep_study import SweepStudy
from trainable.workers.messages import TrialFailure, key_of_task

STANDSTILL_SECONDS = 20.0
"""Longer than Tune takes from one step to the next."""


class HungTrials(DriverOnly, Callback):
    """Kills the actor of a trial that has made no report, not even a sign of life, in a given time.

    Args:
        study: told why, before Tune notices the death.
        minutes: the longest silence that is let pass.
        clock: seconds that only grow.
    """

    def __init__(self, study: SweepStudy, minutes: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._study, self._minutes, self._clock = study, minutes, clock
        self._heard: dict[str, float] = {}  # Tune's trial id -> when it last said something
        self._last = clock()

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """A report."""
        self._heard[trial.trial_id] = self._clock()

    def on_checkpoint(self, iteration: int, trials: list[Trial], trial: Trial, checkpoint: Any, **info: Any) -> None:
        """A checkpoint was written, however long that took."""
        self._heard[trial.trial_id] = self._clock()

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Look for silence."""
        now = self._clock()
        stood = now - self._last  # this process itself, as where it waited for its study: nobody was heard meanwhile
        if stood > STANDSTILL_SECONDS:
            self._heard = {trial_id: heard + stood for trial_id, heard in self._heard.items()}
        self._last = now
        for trial in trials:
            if trial.status != Trial.RUNNING:
                self._heard.pop(trial.trial_id, None)
            elif now - self._heard.setdefault(trial.trial_id, now) > 60 * self._minutes:
                self._end(trial)

    def _end(self, trial: Trial) -> None:
        actor = actor_of(trial)
        if actor is None:  # its death is being dealt with
            return
        sentence = f"no sign of life in {self._minutes:g} minutes (sweep.hang_minutes): its process was ended"
        self._study.note_failure(key_of_task(trial.config), TrialFailure(sentence))
        allow_deaths(trial, 0)  # what hangs once would hang again
        self._heard[trial.trial_id] = self._clock()  # Tune hears of the death in a moment
        ray.kill(actor)
