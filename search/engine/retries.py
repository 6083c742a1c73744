"""Trials whose process died go on; one that keeps dying without coming further is lost."""

from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial

from search.cluster.ray_internals import allow_deaths
from search.engine.driver_only import DriverOnly
from trainable.workers.messages import TrialReport, read_result

RETRIES = 3
"""How often in a row a trial whose process died goes on from where it was, before it counts as lost."""


class Retries(DriverOnly, Callback):
    """Grants a trial `RETRIES` more each time it has come further than ever before.

    So a long trial outlives any number of preempted nodes, and one that kills its process at the same place each time
    comes to an end. Further is what no later process does again: a checkpoint of a later step, or, in a source stage,
    which keeps its own state in the cache, a later step.
    """

    def __init__(self) -> None:
        self._furthest: dict[str, tuple[bool, int]] = {}  # Tune's trial id -> whether in the target stage, and its step

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """A report."""
        said = read_result(result)
        if isinstance(said, TrialReport) and not said.of_target:
            self._come_to(trial, said)

    def on_checkpoint(self, iteration: int, trials: list[Trial], trial: Trial, checkpoint: Any, **info: Any) -> None:
        """A checkpoint was written."""
        if isinstance(said := read_result(trial.last_result), TrialReport):
            self._come_to(trial, said)

    def _come_to(self, trial: Trial, said: TrialReport) -> None:
        place = (said.of_target, said.stage_step)
        if place > self._furthest.get(trial.trial_id, (False, -1)):
            self._furthest[trial.trial_id] = place
            allow_deaths(trial, RETRIES)
