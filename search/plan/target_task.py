"""The task of an experiment's target, which decides the metrics that can choose a winner."""

from collections.abc import Iterator, Mapping
from typing import Any

from search.plan.settings import SweepSettings
from search.record.costs import LATENCY
from spaces import Space
from trainable.metrics.metric import AUTO, GENERATES, TASK_METRICS, metric_of
from trainable.settings.dataset import Dataset
from trainable.settings.values import Nested

_DEFAULT: str = Dataset.model_fields["task"].default


def target_tasks(trial: Nested, space: Space) -> list[str]:
    """Return the task of each data set that the target may have, each once; mistakes in the blocks are left out."""
    target, known = trial.get("target"), trial.get("datasets")
    searched = [value for name, value in space.corners() if name == "target.dataset"]
    chosen: list[Any] = searched or [target.get("dataset") if isinstance(target, Mapping) else None]
    named = [known.get(data) if isinstance(known, Mapping) and isinstance(data, str) else data for data in chosen]
    tasks = [data.get("task", _DEFAULT) for data in named if isinstance(data, Mapping)]
    return [task for task in dict.fromkeys(map(str, tasks)) if task in TASK_METRICS] or [_DEFAULT]


def with_metric(settings: SweepSettings, trial: Nested, space: Space) -> SweepSettings:
    """Return the settings with the metric that `metric: auto` means for the target."""
    if settings.metric != AUTO:
        return settings
    return settings.model_copy(update={"metric": metric_of(target_tasks(trial, space)[0], AUTO)})


def task_problems(settings: SweepSettings, trial: Nested, space: Space) -> Iterator[str]:
    """Yield a problem if data sets of the target have several tasks, or if its task does not have the metric."""
    tasks = target_tasks(trial, space)
    if len(tasks) > 1:
        yield f"target.dataset: all data sets of a target need the same task, got {' and '.join(tasks)}"
    elif tasks[0] in GENERATES and LATENCY in settings.limits:
        reason = "its models take longer for longer answers, which only training decides; take text_gflops"
        yield f"sweep.constraints: {LATENCY} is not measured for {tasks[0]}: {reason}"
    elif settings.metric != AUTO and settings.metric not in TASK_METRICS[tasks[0]]:
        yield f"sweep.metric: {settings.metric} is no metric of {tasks[0]}; take {', '.join(TASK_METRICS[tasks[0]])}"
