"""Trials whose process died go on; one that keeps dying without coming further is lost."""

from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial

from search.cluster.ray_internals import allow_deaths
from search.engine.driver_only import DriverOnly

RETRIES = 3
"""How often in a row a trial whose process died goes on from where it was, before it counts as lost."""


class Retries(DriverOnly, Callback):
    """Grants a trial `RETRIES` more each time it has come further than ever before.

    So a long trial outlives any number of preempted nodes, and one that kills its process at the same place each time
    comes to an end. Further is what no later process does again: a checkpoint of a later step, or, in a source stage,
    which keeps its own state in the cache, a later step.
    """

    def __init__(self) -> None:
        self._furthest: dict[str, tuple[str, int]] = {}  # Tune's trial id -> stage and step; "source" < "target"

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """A report."""
        if result.get("stage") == "source":
            self._come_to(trial, ("source", result["stage_step"]))

    def on_checkpoint(self, iteration: int, trials: list[Trial], trial: Trial, checkpoint: Any, **info: Any) -> None:
        """A checkpoint was written."""
        if "stage" in (last := trial.last_result):
            self._come_to(trial, (last["stage"], last["stage_step"]))

    def _come_to(self, trial: Trial, place: tuple[str, int]) -> None:
        if place > self._furthest.get(trial.trial_id, ("", -1)):
            self._furthest[trial.trial_id] = place
            allow_deaths(trial, RETRIES)
