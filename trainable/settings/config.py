"""The settings of one trial: which encoder, which data, and the two stages of fine-tuning.

Every setting is a field here, with its default, unit and range. The dotted name of a field
(`target.learning_rate`) is its one name: in YAML, Optuna, Ray, MLflow and on the model card.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import AfterValidator, BaseModel, Discriminator, Field, Tag, ValidationError

from trainable.errors import ConfigError
from trainable.settings.dataset import Dataset, Fraction
from trainable.settings.strict import Strict
from trainable.settings.wording import describe, unknown
from trainable.tasks.metrics import METRICS


def _known_metric(name: str) -> str:
    if name not in METRICS:
        raise ValueError(unknown(name, list(METRICS), what="metric"))
    return name


Metric = Annotated[str, AfterValidator(_known_metric), Field(json_schema_extra={"enum": list(METRICS)})]


DatasetOrName = Annotated[
    Annotated[Dataset, Tag("<table>")] | Annotated[str, Tag("<name>")],
    Discriminator(lambda value: "<name>" if isinstance(value, str) else "<table>"),
]


class Stage(Strict):
    """One round of fine-tuning; a trial has two, source and target."""

    dataset: DatasetOrName
    """The data, or the name of an entry of the trial's `datasets`."""
    train_rows: Annotated[int, Field(ge=2)] | None = None
    """Rows of the training split that are used (a stratified, nested subset); none means all."""
    learning_rate: Annotated[float, Field(gt=0, le=10)] = 5e-5
    """Peak of the schedule."""
    batch_size: Annotated[int, Field(ge=1, le=65536)] = 16
    """Examples per optimiser step, over all workers."""
    epochs: Annotated[int, Field(ge=1, le=1000)] = 3
    """Passes over the training split; the horizon of the schedule."""
    padding_length: Annotated[int, Field(ge=4, le=131072)] = 128
    """Tokens, special ones included, to which a sequence is truncated."""
    padding: Literal["longest", "fixed"] = "longest"
    """Pad a batch to its longest member, or always to `padding_length`; the logits agree either way."""
    frozen_layers: Annotated[int, Field(ge=0)] = 0
    """How many of the lowest encoder layers keep their weights and run without dropout; above 0 the
    embeddings do too, and at the encoder's depth only pooler and head train."""
    optimizer: Literal["adamw", "adam", "sgd", "rmsprop", "adafactor"] = "adamw"
    schedule: Literal["linear", "cosine", "constant", "warmup_stable_decay"] = "linear"
    """How the learning rate moves after its warm-up; `warmup_stable_decay` holds it, then decays linearly.
    Source stages that differ in epochs share them under `constant`, and before the decay of the latter."""
    warmup_fraction: Fraction = 0.06
    """Share of the optimiser steps spent warming up, linearly from 0; of one epoch's steps under `constant`
    and `warmup_stable_decay`, so that the first epochs are the same however many follow."""
    decay_fraction: Fraction = 0.2
    """Share of the optimiser steps spent decaying at the end; only `warmup_stable_decay` reads it."""
    weight_decay: Annotated[float, Field(ge=0, le=10)] = 0.01
    """Decoupled for `adamw`, added to the gradient otherwise; biases and norms are left out."""
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Factor on the learning rate for each layer further from the head (ULMFiT, ELECTRA); 1 is off."""
    gradient_clip: Annotated[float, Field(gt=0)] | None = 1.0
    """Largest global norm of the gradient; none is off."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    dropout: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Every dropout rate of encoder and head; none keeps the encoder's own."""
    class_weights: Literal["none", "balanced"] = "none"
    """`balanced` weighs a class by rows / (classes * rows of the class) in the training loss."""
    evaluations_per_epoch: Annotated[int, Field(ge=1, le=100)] = 1
    """Evaluations on the validation split, evenly spread over an epoch."""
    patience: Annotated[int, Field(ge=1)] | None = None
    """End the stage after this many evaluations in a row without a gain; none never does."""


class Source(Stage):
    """The first stage: the task with many labels."""

    enabled: bool = True
    """Whether the source stage runs at all."""


COMPARED_AT = (0.25, 0.5)
"""Shares of its target stage at which a trial of a sweep is evaluated and compared with others."""


class Target(Stage):
    """The second stage: the task with few labels, whose validation score is searched."""

    head: Literal["auto", "new", "keep"] = "auto"
    """Start from a new head, or keep the source's (same label names needed); `auto` keeps it where it can."""
    evaluate_at: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = ()
    """Further evaluations at these shares of the stage's optimiser steps; a sweep puts its rungs here."""


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
    def clashes(cls, given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Every data set that a stage names is one of `datasets`."""
        known = given.get("datasets") or {}
        for name in ("source", "target"):
            stage = given.get(name)
            chosen = stage.get("dataset") if isinstance(stage, Mapping) else None
            if isinstance(chosen, str) and isinstance(known, Mapping) and chosen not in known:
                yield f"{name}.dataset", unknown(chosen, list(known), what="data set")

    def stages(self) -> list[Stage]:
        """The stages that run, in their order."""
        return [*([self.source] if self.source and self.source.enabled else []), self.target]

    def dataset_of(self, stage: Stage) -> Dataset:
        """The data of a stage, its name looked up."""
        return self.datasets[stage.dataset] if isinstance(stage.dataset, str) else stage.dataset

    def to_flat(self) -> dict[str, Any]:
        """Settings by dotted name, data sets as nested values; a disabled source as `source.enabled` alone."""
        flat = dict(_flatten(self.model_dump(mode="json", by_alias=True, exclude={"datasets"})))
        if self.source is None or not self.source.enabled:
            flat = {k: v for k, v in flat.items() if not k.startswith("source")} | {"source.enabled": False}
        return flat


def build_config(base: Mapping[str, Any], sampled: Mapping[str, Any] | None = None) -> TrialConfig:
    """Join the fixed settings (nested) with sampled ones (by dotted name) and check the whole.

    Raises:
        ConfigError: naming every field that is wrong.
    """
    try:
        return TrialConfig.model_validate(nested(base, sampled or {}))
    except ValidationError as error:
        raise ConfigError(list(describe(error, TrialConfig))) from None


def field_names(model: type[BaseModel] = TrialConfig, prefix: str = "") -> Iterator[str]:
    """Every setting's dotted name; data sets count as one setting each."""
    for name, field in model.model_fields.items():
        nested = [t for t in _leaves(field.annotation) if isinstance(t, type) and issubclass(t, Stage)]
        if nested:
            yield from field_names(nested[0], f"{prefix}{name}.")
        elif prefix or name != "datasets":
            yield f"{prefix}{name}"


def _leaves(annotation: Any) -> list[Any]:
    if get_origin(annotation) in (Union, UnionType, dict, list):
        return [leaf for arg in get_args(annotation) for leaf in _leaves(arg)]
    if get_origin(annotation) is Annotated:
        return _leaves(get_args(annotation)[0])
    return [annotation]


def _flatten(nested: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in nested.items():
        if isinstance(value, dict) and name in {"source", "target"} and not prefix:
            yield from _flatten(value, f"{name}.")
        else:
            yield prefix + name, value


def nested(base: Mapping[str, Any], sampled: Mapping[str, Any]) -> dict[str, Any]:
    """Fixed and sampled settings as they are, in one nested mapping; a disabled source is none."""
    merged: dict[str, Any] = {k: dict(v) if isinstance(v, Mapping) else v for k, v in base.items()}
    for name, value in sampled.items():
        block, _, field = name.partition(".")
        if field and isinstance(merged.get(block) or {}, dict):
            merged[block] = {**(merged.get(block) or {}), field: value}
        else:
            merged[name] = value  # a name below a plain setting stays whole, to be found unknown
    if isinstance(merged.get("source"), dict) and merged["source"].get("enabled") is False:
        merged["source"] = None  # what a disabled stage lacks is no mistake
    return merged
