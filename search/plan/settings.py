"""The `sweep` block of an experiment file: how to look, for how long, and with what."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from search.redaction import redact
from search.storage.sweep_name import NAME, checked_name
from trainable.settings.config import Metric
from trainable.settings.stage import COMPARED_AT
from trainable.settings.strict import Strict
from trainable.settings.values import Nested
from trainable.tasks.metrics import METRICS, Direction

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
    "tracking_uri",
    "system_metrics",
)
"""Settings that an existing sweep may change: none of them decides what a trial's settings give."""


class SweepSettings(Strict):
    """Settings of a search."""

    name: Name
    """Letters, digits, dots, dashes; names the folder of the sweep."""
    metric: Metric = "macro_f1"
    """The target's validation score that is searched: accuracy, macro_f1, weighted_f1, macro_precision,
    macro_recall, mcc (highest wins) or loss (lowest wins)."""
    trials: Annotated[int, Field(ge=1, le=100_000)] = 20
    """Settings to try, those of `start_with` among them."""
    minutes: Annotated[float, Field(gt=0)] | None = None
    """Wall-clock budget of the whole sweep, confirmation included; none means no limit."""
    worker_hours: Annotated[float, Field(gt=0)] | None = None
    """Budget in hours summed over all workers; none means no limit."""
    sampler: Literal["tpe", "random", "gp", "cmaes", "qmc", "grid"] = "tpe"
    """Who proposes settings: Optuna's samplers, or every point of the space in turn (`grid`)."""
    scheduler: Literal["asha", "promotion", "median", "none"] = "asha"
    """Who stops poor trials early: successive halving, the same with pauses instead of ends, the median rule, or
    nobody."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Seed of the sampler; trials train with `trial.seed`."""
    start_with: list[dict[str, Any]] | None = None
    """Points tried first and in this order, by dotted name; what a point leaves out is sampled. None begins with
    every setting at its default and learning rates in the middle of their ranges, once with a source and once
    without where that is searched, if the sampler learns; an empty list with the sampler."""
    start_from: Name | None = None
    """Another sweep in the same storage folder, whose trials the sampler learns from before the first one here; they
    count as nothing else."""
    max_concurrent: Annotated[int, Field(ge=1)] | None = None
    """Trials at a time; none means as many as the cluster has room for."""
    cpus_per_trial: Annotated[float, Field(gt=0)] = 1
    """CPUs of each worker; also its number of threads."""
    gpus_per_trial: Annotated[float, Field(ge=0)] | None = None
    """GPUs of each worker, fractions allowed; none means 1 where the cluster has GPUs, else 0."""
    workers_per_trial: Annotated[int, Field(ge=1, le=1024)] = 1
    """Processes that share each trial's batches."""
    finalists: Annotated[int, Field(ge=1, le=100)] = 2
    """Best settings that are trained again on further seeds before the winner is chosen."""
    confirm_seeds: Annotated[int, Field(ge=0, le=100)] = 2
    """Further seeds for each finalist, and for the comparison without a source; 0 trusts the search and makes no
    comparison of its own."""
    checkpoint_seconds: Annotated[float, Field(gt=0)] = 60.0
    """Least training time between two checkpoints of a running trial."""
    keep_best: Annotated[int, Field(ge=1, le=100_000)] = 3
    """Models of finished search trials that are kept, beside those of the finalists; all others are deleted."""
    keep_paused: Annotated[int, Field(ge=1, le=100_000)] = 8
    """Trials that may wait at a time, each with a checkpoint; beyond it the least promising one is stopped. Only
    `promotion` reads it."""
    hang_minutes: Annotated[float, Field(gt=0)] = 30.0
    """Longest silence of a running trial before its process is ended and it counts as lost."""
    tracking_uri: str | None = None
    """Where MLflow records; none means an SQLite file in the storage folder."""
    system_metrics: bool = False
    """Record CPU, memory and GPU use of the driver's machine in MLflow."""

    @classmethod
    def clashes(cls, given: Nested) -> Iterator[tuple[str, str]]:
        """An older sweep is another one, and goes to a sampler that learns."""
        older, sampler = given.get("start_from"), given.get("sampler", cls.model_fields["sampler"].default)
        if older is not None and sampler in ("random", "cmaes", "qmc", "grid"):
            yield "start_from", f"{sampler} learns nothing from another sweep; take tpe or gp, or leave it out"
        if older is not None and older == given.get("name"):
            yield "start_from", f"{older!r} is this sweep's own name; name another sweep"

    @property
    def threads(self) -> int:
        """Threads of each worker."""
        return max(1, int(self.cpus_per_trial))

    @property
    def compared_at(self) -> tuple[float, ...]:
        """Shares of its target stage at which a trial is evaluated for the scheduler."""
        return () if self.scheduler == "none" else COMPARED_AT

    @property
    def models_kept(self) -> int:
        """The most models of ended trials that lie on disk at a time."""
        finalists = self.finalists + 1  # with and without a source, the best of either kind is among them
        return self.keep_best + finalists * (1 + self.confirm_seeds)

    @property
    def has_secret(self) -> bool:
        """Whether a password stands in the settings."""
        return self.tracking_uri is not None and redact(self.tracking_uri) != self.tracking_uri

    @property
    def direction(self) -> Direction:
        """Which scores win."""
        return METRICS[self.metric]
