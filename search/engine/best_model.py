"""Saves the model of a trial that is stopped, if its score is the best so far: such a trial may win."""

from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial
from ray.tune.result import DONE

from search.cluster.driver_only import DriverOnly
from search.cluster.ray_internals import ask_for_checkpoint, let_actor_end
from search.engine.schedule.budget import Budget
from search.engine.watch.stop_request import StopRequest
from search.plan.settings import SweepSettings
from search.record.costs import meets
from search.record.records import TrialRecord
from search.study.sweep_study import SweepStudy
from trainable.workers.messages import TrialReport, key_of_task, read_result


class BestModel(DriverOnly, Callback):
    """Requests the model of each search trial that the scheduler or the budget ends with the best score so far.

    Its weights are those of its best evaluation. A trial that may continue later keeps its state instead: after a stop
    request, or if the scheduler is `promotion`.

    Args:
        settings: the sweep's settings.
        study: the record of all trials.
        budget: the limits of the sweep.
        stop: the request to end the sweep early, if there is one.
    """

    def __init__(self, settings: SweepSettings, study: SweepStudy, budget: Budget, stop: StopRequest) -> None:
        self._settings, self._study, self._budget, self._stop = settings, study, budget, stop

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """Request the model with the last report of a trial that does not run to its end."""
        report = read_result(result)
        if not result[DONE] or not isinstance(report, TrialReport) or report.finished:
            return
        may_continue = self._stop.requested or (self._settings.scheduler == "promotion" and not self._budget.spent())
        record = self._study.record(key_of_task(trial.config))
        value = record.value if report.value is None else report.value
        allowed = meets({**record.metrics, **report.metrics}, self._settings.limits)
        if (report.cut or not may_continue) and record.role == "search" and allowed and self._is_best(value):
            let_actor_end(trial)
            ask_for_checkpoint(result)

    def _is_best(self, value: float | None) -> bool:
        """Return whether no trial with a model that may win has a score as good as this one."""
        searched = [record for record in self._study.records if record.role == "search" and record.has_model]
        others = [record for record in searched if meets(record.metrics, self._settings.limits)]
        return value is not None and all(self._is_better(value, other) for other in others)

    def _is_better(self, value: float, other: TrialRecord) -> bool:
        cost = self._settings.direction.cost
        return other.value is None or cost(value) < cost(other.value)
