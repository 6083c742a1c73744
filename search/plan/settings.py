"""The `sweep` block of an experiment file: sampler, scheduler, budgets and resources of a sweep."""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from search.record.costs import COSTS
from search.redaction import redact
from search.storage.sweep_name import NAME, checked_name
from trainable.metrics.metric import AUTO, METRICS, Direction
from trainable.settings.config import Metric
from trainable.settings.stage import COMPARED_AT, PerClass, TrainRows
from trainable.settings.strict import Strict
from trainable.settings.values import Nested

Name = Annotated[str, AfterValidator(checked_name), Field(json_schema_extra={"pattern": NAME})]

CHANGEABLE = (
    "trials",
    "minutes",
    "worker_hours",
    "max_concurrent",
    "cpus_per_trial",
    "gpus_per_trial",
    "checkpoint_seconds",
    "keep_best",
    "keep_paused",
    "hang_minutes",
    "finalists",
    "confirm_seeds",
    "labels_curve",
    "labels_draws",
    "tracking_uri",
    "system_metrics",
)
"""Settings that may change in an existing sweep: none of them changes the score of a trial."""
DEFAULT_TRIALS, MOST_TRIALS = 20, 1000
"""Settings to try if `trials` is null: without a time limit, and at most with one."""
_PERCENT = r"(\d+(?:\.\d+)?) ?%"


def _hundredths(value: Any) -> Any:
    """Return the number that a text with a percent sign means: `0.5 %` is 0.005; other values are returned as given."""
    match = re.fullmatch(_PERCENT, value) if isinstance(value, str) else None
    return float(match[1]) / 100 if match else value


_Margin = Annotated[
    float,
    BeforeValidator(_hundredths),
    Field(ge=0),
    WithJsonSchema({"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": f"^{_PERCENT}$"}]}),
]


_CONSTRAINT = re.compile(r"(\w+) ?<= ?(\S+)")


def _known_constraint(text: str) -> str:
    match = _CONSTRAINT.fullmatch(text.strip())
    if match is None or match[1] not in COSTS:
        raise ValueError(
            f"{text!r} must be a cost and its limit, such as `latency_ms <= 20`; costs: {', '.join(COSTS)}"
        )
    try:
        limit = float(match[2])
    except ValueError:
        limit = math.nan
    if not 0 < limit < math.inf:
        raise ValueError(f"{text!r}: the limit {match[2]!r} must be a number above 0")
    return f"{match[1]} <= {limit:.12g}"


class Select(Strict):
    """Which model wins among those that are nearly as good as the best."""

    within: _Margin
    """How much worse the mean validation score of the winner may be than the best, in the metric's unit; `0.5 %` means
    0.005."""
    prefer: Literal["latency", "size"]
    """Among these the fastest wins (median time of a single text, measured), or the smallest (number of weights)."""


class SweepSettings(Strict):
    """Settings of a sweep."""

    name: Name
    """Names the folder of the sweep: up to 100 letters, digits, `.`, `_`, `-`; not `cache` or `mlartifacts`."""
    metric: Metric = AUTO
    """Validation score of the target that the sweep optimises. Each task has its own, see
    docs/experiment-file.md; `auto`: the first one, which is macro_f1 for a classification."""
    trials: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """Settings to try, including those of `start_with`; null: as many as fit `minutes` or `worker_hours`, up to 1,000,
    and 20 without a time limit."""
    minutes: Annotated[float, Field(gt=0)] | None = None
    """Wall-clock budget of the whole sweep, including its start and the repeats of finalists; null: no limit."""
    worker_hours: Annotated[float, Field(gt=0)] | None = None
    """Time budget in hours, summed over all workers; null: no limit."""
    sampler: Literal["tpe", "random", "gp", "cmaes", "qmc", "grid"] = "tpe"
    """The algorithm that proposes settings: a sampler of Optuna, or every point of the space in turn (`grid`)."""
    scheduler: Literal["asha", "promotion", "median", "none"] = "asha"
    """The algorithm that stops poor trials early: successive halving (`asha`), the same with pauses instead of stops
    (`promotion`), the median rule, or none."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Seed of the sampler; trials train with `trial.seed`."""
    start_with: list[dict[str, Any]] | None = None
    """Settings to try first, in order, by dotted name; missing names are sampled. Null: a sampler that learns begins
    with the default settings and each learning rate in the middle of its range, once with and once without a source
    and with each `target.objective`, if they are searched. An empty list: the sampler proposes from the first trial
    on."""
    start_from: Name | None = None
    """An older sweep in the same storage folder, whose trials the sampler (tpe, gp) learns from. They do not count as
    trials of this sweep."""
    ranked_sources: Annotated[int, Field(ge=1)] | None = None
    """Number of data sets of `space.source.dataset` to search: before the search all are ranked, as by
    `transfersweep rank`, and the first ones are kept; null: all, without a ranking."""
    max_concurrent: Annotated[int, Field(ge=1)] | None = None
    """Trials at the same time; null: as many as the resources allow."""
    cpus_per_trial: Annotated[float, Field(gt=0)] = 1
    """CPUs of each worker, and its number of threads."""
    gpus_per_trial: Annotated[float, Field(ge=0)] | None = None
    """GPUs of each worker, fractions allowed; null: 1 if the cluster has GPUs, else 0."""
    workers_per_trial: Annotated[int, Field(ge=1, le=1024)] = 1
    """Workers (processes) that share the batches of one trial."""
    finalists: Annotated[int, Field(ge=1, le=100)] | None = None
    """Number of best settings that train again on further seeds before the winner is chosen; null: 2, but where few
    rows are held out for validation 200 / rows, up to 8, of which each further seed leaves the better half."""
    confirm_seeds: Annotated[int, Field(ge=0, le=100)] = 2
    """Further seeds for each finalist, and for the comparison without a source; 0: no repeats."""
    constraints: list[Annotated[str, AfterValidator(_known_constraint)]] = []
    """Limits such as `latency_ms <= 20`, on `latency_ms`, `text_gflops`, `model_weights` or `trained_weights`: a trial
    above one cannot win, and the sampler (tpe, gp) learns to avoid such settings."""
    select: Select | None = None
    """`{within: 0.005, prefer: latency}`: of the finalists within this margin of the best, the fastest (`latency`) or
    the smallest (`size`) wins; null: a finalist that repeats cannot tell from the best wins if it is cheaper to use."""
    cross_validate: bool = True
    """Whether each repeat of a finalist holds out other rows for validation instead of taking another seed, where the
    validation rows are taken from fewer than 1,000 training rows (repeated random sub-sampling). The baselines are
    scored on the same rows."""
    redraw_rows: bool = False
    """Whether each repeat of a finalist also trains on other rows, where `target.train_rows` takes a part of the
    training rows: the spread over seeds then contains the spread over draws of the rows."""
    refit: bool = True
    """Whether the winner then trains once more, on the validation rows too, where they are taken from fewer than 1,000
    training rows; this model is exported."""
    labels_curve: list[TrainRows] = []
    """Numbers of training rows, or `{per_class: N}`. After the winner is chosen, the best settings with a source and
    the best without train on each of them, to say how many labels are needed. Empty: no such trials."""
    labels_draws: Annotated[int, Field(ge=1, le=100)] = 3
    """Draws of the training rows, each with a seed of its own, for each number of `labels_curve`."""
    checkpoint_seconds: Annotated[float, Field(gt=0)] = 60.0
    """Minimum training time in seconds between two checkpoints of a trial."""
    keep_best: Annotated[int, Field(ge=1, le=100_000)] = 3
    """Models of the best search trials to keep, besides the models of the finalists; all others are deleted."""
    keep_paused: Annotated[int, Field(ge=1, le=100_000)] = 8
    """Trials that may wait at the same time under `promotion`, each with a checkpoint; if there are more, the least
    promising one is stopped."""
    hang_minutes: Annotated[float, Field(gt=0)] = 30.0
    """Minutes: a trial without a report for this long is ended and counts as lost."""
    tracking_uri: str | None = None
    """The MLflow server or database; null: an SQLite file in the storage folder."""
    system_metrics: bool = False
    """Record CPU, memory and GPU use of the driver's machine in MLflow; GPUs need the package `nvidia-ml-py`."""

    @classmethod
    def clashes(cls, given: Nested) -> Iterator[tuple[str, str]]:
        """Yield a problem if `start_from` names this sweep or does not suit the sampler, or for two kinds of rows."""
        older, sampler = given.get("start_from"), given.get("sampler", cls.model_fields["sampler"].default)
        if older is not None and sampler in ("random", "cmaes", "qmc", "grid"):
            yield "start_from", f"{sampler} cannot learn from another sweep; use tpe or gp, or leave it out"
        if older is not None and older == given.get("name"):
            yield "start_from", f"{older!r} is the name of this sweep; name another one"
        if given.get("constraints") and sampler == "cmaes":
            yield "constraints", "cmaes cannot learn from constraints; use tpe, gp, random, qmc or grid"
        rows = given.get("labels_curve")
        if isinstance(rows, list) and 0 < sum(isinstance(each, Mapping) for each in rows) < len(rows):
            yield "labels_curve", "has numbers of all rows and of rows of each class; give one kind"

    @property
    def labels_rows(self) -> list[int | PerClass]:
        """Return the numbers of training rows of the labels curve, fewest first, each once."""
        given = {rows.per_class if isinstance(rows, PerClass) else rows: rows for rows in self.labels_curve}
        return [given[number] for number in sorted(given)]

    @property
    def is_limited_by_time(self) -> bool:
        """Return whether the search runs until its time is up, and not for a number of trials."""
        return self.trials is None and (self.minutes is not None or self.worker_hours is not None)

    @property
    def most_trials(self) -> int:
        """Return the largest number of settings to try."""
        return self.trials or (MOST_TRIALS if self.is_limited_by_time else DEFAULT_TRIALS)

    def command_for_more(self, trials: int) -> tuple[str, ...]:
        """Return the command, with its options, that gives a sweep so many more trials, or else twice the time."""
        if not self.is_limited_by_time:
            return "extend", "--trials", str(trials)
        limits = {"sweep.minutes": self.minutes, "sweep.worker_hours": self.worker_hours}
        doubled = [f"{name}={2 * limit:g}" for name, limit in limits.items() if limit is not None]
        return "resume", *(word for option in doubled for word in ("--set", option))

    @property
    def limits(self) -> dict[str, float]:
        """Return the largest allowed value of each constrained cost; of two constraints on the same, the lower one."""
        limits: dict[str, float] = {}
        for name, _, limit in (constraint.partition(" <= ") for constraint in self.constraints):
            limits[name] = min(float(limit), limits.get(name, math.inf))
        return limits

    @property
    def threads(self) -> int:
        """Return the number of threads of each worker."""
        return max(1, int(self.cpus_per_trial))

    @property
    def compared_at(self) -> tuple[float, ...]:
        """Return the fractions of the target stage at which a scheduler compares trials; empty without one."""
        return () if self.scheduler == "none" else COMPARED_AT

    @property
    def has_secret(self) -> bool:
        """Return whether the settings contain a password."""
        return self.tracking_uri is not None and redact(self.tracking_uri) != self.tracking_uri

    @property
    def direction(self) -> Direction:
        """Return whether the highest or the lowest score wins; a plan has resolved `metric: auto` before it matters."""
        return METRICS.get(self.metric, Direction.MAX)
