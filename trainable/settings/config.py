"""The settings of one trial: which encoder, which data, and the two stages of fine-tuning.

Every setting is a field here, with its default, unit and range. The dotted name of a field
(`target.learning_rate`) is its one name: in YAML, Optuna, Ray, MLflow and on the model card.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationError

from trainable.errors import ConfigError
from trainable.settings.dataset import Dataset
from trainable.settings.names import flatten, nested
from trainable.settings.stage import Source, Stage, Target
from trainable.settings.strict import Strict
from trainable.settings.values import Nested, Params
from trainable.settings.wording import describe, unknown
from trainable.tasks.metrics import METRICS


def _known_metric(name: str) -> str:
    if name not in METRICS:
        raise ValueError(unknown(name, list(METRICS), what="metric"))
    return name


Metric = Annotated[str, AfterValidator(_known_metric), Field(json_schema_extra={"enum": list(METRICS)})]


class TrialConfig(Strict):
    """Everything that decides the result of one trial."""

    encoder: str
    """A folder, `package:NAME` (an installed Python package that carries a model folder), or a hub name."""
    datasets: dict[str, Dataset] = {}
    """Named data sets, for stages that choose among several."""
    source: Source | None = None
    target: Target
    metric: Metric = "macro_f1"
    """The validation metric that selects the best evaluation of a stage, see `trainable.tasks.metrics`."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Decides the new heads, the order of the batches and the dropout."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Arithmetic of the matrix products; `auto` takes bfloat16 where the device has it in hardware."""
    micro_batches: Annotated[int, Field(ge=1, le=65536)] = 1
    """Parts into which each batch is cut, each with its own dropout draws; the same result whether one
    worker computes them in turn or several at once. At least the number of workers."""

    @classmethod
    def clashes(cls, given: Nested) -> Iterator[tuple[str, str]]:
        """Every data set that a stage names is one of `datasets`."""
        known = given.get("datasets") or {}
        for name in ("source", "target"):
            stage = given.get(name)
            chosen = stage.get("dataset") if isinstance(stage, Mapping) else None
            if isinstance(chosen, str) and isinstance(known, Mapping) and chosen not in known:
                yield f"{name}.dataset", unknown(chosen, list(known), what="data set")

    def sources(self) -> dict[str, Stage]:
        """The stages that run before the target, by name, in their order."""
        return {"source": self.source} if self.source and self.source.enabled else {}

    def stages(self) -> dict[str, Stage]:
        """The stages that run, by name, in their order."""
        return self.sources() | {"target": self.target}

    def dataset_of(self, stage: Stage) -> Dataset:
        """The data of a stage, its name looked up."""
        return self.datasets[stage.dataset] if isinstance(stage.dataset, str) else stage.dataset

    def to_flat(self) -> Params:
        """Settings by dotted name, data sets as nested values; a disabled source as `source.enabled` alone."""
        flat = dict(flatten(self.model_dump(mode="json", by_alias=True, exclude={"datasets"})))
        if self.source is None or not self.source.enabled:
            flat = {k: v for k, v in flat.items() if not k.startswith("source")} | {"source.enabled": False}
        return flat


def build_config(base: Nested, sampled: Params | None = None) -> TrialConfig:
    """Join the fixed settings (nested) with sampled ones (by dotted name) and check the whole.

    Raises:
        ConfigError: naming every field that is wrong.
    """
    try:
        return TrialConfig.model_validate(nested(base, sampled or {}))
    except ValidationError as error:
        raise ConfigError(list(describe(error, TrialConfig))) from None
