"""The settings of one trial: the encoder, the data, and the two stages of fine-tuning.

Each setting is a field with default, unit and range. Its dotted name (`target.learning_rate`) is the same in YAML,
Optuna, Ray, MLflow and on the model card.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, ValidationError

from trainable.errors import ConfigError
from trainable.metrics.metric import AUTO, GENERATES, METRICS, OF_IMAGES, SOURCE_ONLY, metric_of
from trainable.settings.dataset import Dataset
from trainable.settings.mistake_messages import describe, unknown
from trainable.settings.names import flatten, nested, stage_blocks
from trainable.settings.stage import Source, Stage, Target
from trainable.settings.strict import Strict
from trainable.settings.task_problems import task_of, task_problems
from trainable.settings.values import Nested, Params


def _known_metric(name: str) -> str:
    if name not in METRICS and name != AUTO:
        raise ValueError(unknown(name, list(METRICS), what="metric"))
    return name


STAGE_NAME = "[A-Za-z0-9_-]+"
"""Regular expression of the name of a stage below `sources`."""
StageName = Annotated[str, Field(pattern=f"^{STAGE_NAME}$")]
Metric = Annotated[str, AfterValidator(_known_metric), Field(json_schema_extra={"enum": [AUTO, *METRICS]})]


class TrialConfig(Strict):
    """The settings that decide the result of one trial."""

    encoder: str
    """The pretrained encoder: a folder, `package:NAME` (an installed Python package that contains one model folder),
    or a hub name."""
    pooling: Literal["auto", "first", "mean", "max", "bi_encoder"] = "auto"
    """What the head reads. `first`: the architecture's own head, which reads the first token in BERT and its kin;
    `mean`, `max`: a linear head on the mean or maximum of a text's tokens; `bi_encoder`, only for pairs: each text is
    encoded by itself, and a linear head reads their means u and v, |u - v| and u * v. `auto`: as the encoder was
    trained, if its folder says so in `1_Pooling/config.json` (sentence-transformers), else `first`."""
    datasets: dict[str, Dataset] = {}
    """Named data sets, from which stages choose."""
    source: Source | None = None
    """The task with many labels; null: no source stage."""
    sources: dict[StageName, Source] = {}
    """Several stages before the target, by name, in the order of training, each from the weights of the stage before.
    `source` is the short form for one."""
    target: Target
    """The task with few labels, whose score is optimised."""
    metric: Metric = AUTO
    """Validation metric that selects the best evaluation of a stage, see `trainable.metrics.metric`. `auto`: the first
    one of the target's task. A source stage of another task that lacks it has the first one of its own task."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Decides new heads, the order of batches, and dropout."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Precision of matrix products; `auto`: `bf16` if the hardware supports it, else `fp32`."""
    micro_batches: Annotated[int, Field(ge=1, le=65536)] = 1
    """Parts of a batch, each with its own dropout, computed one after another or by several workers with the same
    result. At least the number of workers; raised if memory is too small."""

    @classmethod
    def clashes(cls, given: Nested) -> Iterator[tuple[str, str]]:
        """Yield data sets that are not in `datasets`, and settings of a stage that its task does not have."""
        known = given.get("datasets") or {}
        if given.get("source") is not None and given.get("sources"):
            yield "sources", "source is the short form for one stage of sources; give only one of the two"
        for name, stage in stage_blocks(given) if isinstance(known, Mapping) else ():
            chosen = stage.get("dataset")
            if isinstance(chosen, str) and chosen not in known:
                yield f"{name}.dataset", unknown(chosen, list(known), what="data set")
            task = task_of(given, stage)
            if name == "target" and task in SOURCE_ONLY:
                yield (
                    "target.dataset",
                    f"the task {task} prepares an encoder and can only be a source's; the target needs labels",
                )
            if task in GENERATES and given.get("pooling", "auto") not in ("auto", "first"):
                yield "pooling", f"the decoder of the task {task} reads every token; leave it out"
            for setting, problem in task_problems(stage, task):
                yield f"{name}.{setting}", problem
            if str(task) in OF_IMAGES and (pooling := given.get("pooling", "auto")) not in ("auto", "first"):
                yield "pooling", f"{pooling!r:.80} is for texts, and the rows of the {name} are images; leave it out"

    def source_stages(self) -> dict[str, Source]:
        """Return the stages that run before the target, by dotted name, in the order of training."""
        return {name: stage for name, stage in self._given_sources().items() if stage.enabled}

    def stages(self) -> dict[str, Stage]:
        """Return the stages that run, by dotted name, in the order of training."""
        return {**self.source_stages(), "target": self.target}

    def with_sources(self, stages: Mapping[str, Source]) -> Self:
        """Return the settings with other source stages in the place of those of the same dotted name."""
        sources = {name: stages.get(f"sources.{name}", stage) for name, stage in self.sources.items()}
        return self.model_copy(update={"source": stages.get("source", self.source), "sources": sources})

    def without_sources(self) -> Self:
        """Return the settings without any source stage."""
        return self.model_copy(update={"source": None, "sources": {}})

    def _given_sources(self) -> dict[str, Source]:
        named = {f"sources.{name}": stage for name, stage in self.sources.items()}
        return named if self.source is None else {"source": self.source, **named}

    def dataset_of(self, stage: Stage) -> Dataset:
        """Return the data set of a stage; a name is looked up in `datasets`."""
        return self.datasets[stage.dataset] if isinstance(stage.dataset, str) else stage.dataset

    def metric_of(self, stage: Stage) -> str:
        """Return the metric that selects the best evaluation of a stage."""
        wanted = metric_of(self.dataset_of(self.target).task, self.metric)
        return metric_of(self.dataset_of(stage).task, wanted)

    def to_flat(self) -> Params:
        """Return settings by dotted name, data sets as nested values. A disabled stage gives only `enabled`."""
        flat = dict(flatten(self.model_dump(mode="json", by_alias=True, exclude={"datasets"})))
        flat.pop("source", None)
        given = self._given_sources()
        disabled = [name for name, stage in given.items() if not stage.enabled] if given else ["source"]
        kept = {k: v for k, v in flat.items() if k.rpartition(".")[0] not in disabled}
        return kept | {f"{name}.enabled": False for name in disabled}


def build_config(base: Nested, sampled: Params | None = None) -> TrialConfig:
    """Join fixed settings (nested) with sampled settings (by dotted name), and check them.

    Raises:
        ConfigError: with every wrong setting.
    """
    try:
        return TrialConfig.model_validate(nested(base, sampled or {}))
    except ValidationError as error:
        raise ConfigError(list(describe(error, TrialConfig))) from None
