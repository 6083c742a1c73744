"""Restarts trials whose process died. A trial that dies repeatedly without progress in between is lost."""

from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial

from search.cluster.driver_only import DriverOnly
from search.cluster.ray_internals import allow_deaths
from trainable.workers.messages import TrialReport, read_result

RETRIES = 3
"""Largest number of times in a row that a trial continues after its process died without progress; then it is lost."""


class Retries(DriverOnly, Callback):
    """Grants a trial `RETRIES` new retries each time it makes progress.

    A long trial therefore survives any number of preempted nodes, while a trial that kills its process at the same
    step each time ends. Progress is work that no later process has to repeat: in the target stage a checkpoint of a
    later step, in the source stage, which stores its state in the cache, a later step.
    """

    def __init__(self) -> None:
        self._furthest: dict[str, tuple[bool, int]] = {}  # Tune's trial id -> (in the target stage?, step)

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """Note progress in the source stage."""
        report = read_result(result)
        if isinstance(report, TrialReport) and not report.of_target:
            self._note_progress(trial, report)

    def on_checkpoint(self, iteration: int, trials: list[Trial], trial: Trial, checkpoint: Any, **info: Any) -> None:
        """Note progress in the target stage."""
        if isinstance(report := read_result(trial.last_result), TrialReport):
            self._note_progress(trial, report)

    def _note_progress(self, trial: Trial, report: TrialReport) -> None:
        position = (report.of_target, report.stage_step)
        if position > self._furthest.get(trial.trial_id, (False, -1)):
            self._furthest[trial.trial_id] = position
            allow_deaths(trial, RETRIES)
