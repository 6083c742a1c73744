"""The features that the target's rows have under one candidate: an encoder, as it is or after a short source stage."""

from collections.abc import Generator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from trainable.baselines.features import frozen_config
from trainable.inputs.folds import has_folds
from trainable.loop.head_features import head_features
from trainable.model.encoder import checked_limits
from trainable.ranking.effort import Effort
from trainable.settings.config import TrialConfig
from trainable.settings.stage import Source, Target, TrainRows
from trainable.stages.shared_stage import shared_stage
from trainable.stages.stage_builder import StageBuilder
from trainable.stages.stage_cache import TrainedSource
from trainable.stages.target_stage import target_stage
from trainable.workspace import Workspace

T = TypeVar("T")


@dataclass(frozen=True)
class TargetFeatures:
    """The rows of the target as the head reads them."""

    features: NDArray[np.float64]
    """Shape (N, H)."""
    labels: NDArray[np.int64]
    """Class of each row, shape (N,); of a task without classes, the strata of its labels."""
    source_scores: dict[str, float]
    """Scores of the source stage on its own validation split, by dotted name; empty without a source."""


def target_features(config: TrialConfig, workspace: Workspace, effort: Effort) -> TargetFeatures:
    """Train the source stage of a trial for one epoch on some of its rows, and encode the rows of the target.

    Both are cached. Where the validation rows of the target are taken from few training rows, all of them are encoded.

    Args:
        config: settings of a trial, with or without a source.
        workspace: the cache and the data folders.
        effort: how many rows are used.

    Raises:
        ConfigError: if settings, encoder or data are wrong.
        TrialError: if the source stage diverges, or memory has no room for a single row.
    """
    builder = StageBuilder(_short(config, workspace, effort), workspace)
    source: TrainedSource | None = None
    for name, stage in builder.config.source_stages().items():
        source, _ = _result(shared_stage(builder, name, stage, source))
    training, _ = target_stage(builder, builder.config.target, source)
    rows = training.steps.train
    classes = training.context.task.strata(rows.labels)
    return TargetFeatures(head_features(training, rows), classes, source.metrics if source else {})


def _short(config: TrialConfig, workspace: Workspace, effort: Effort) -> TrialConfig:
    """Return the settings of a trial in which the source stage is short and the target trains no layer."""
    builder, frozen = StageBuilder(config, workspace), frozen_config(config, checked_limits(config.encoder).depth)
    sources = config.source_stages().items()
    short = {name: _short_source(builder, name, stage, effort.source_rows) for name, stage in sources}
    target = _all_or_some_rows(builder, frozen.target, effort.target_rows)
    return config.with_sources(short).model_copy(update={"target": target})


def _short_source(builder: StageBuilder, name: str, source: Source, most: int) -> Source:
    rows = len(builder.tokenized(name, source).splits["train"].labels)
    short = {"epochs": 1, "schedule": "linear", "evaluations_per_epoch": None, "patience": None}
    return source.model_copy(update={**short, "train_rows": _at_most(most, source.train_rows, rows)})


def _all_or_some_rows(builder: StageBuilder, target: Target, most: int) -> Target:
    """Return the target's settings with all labelled rows if they are few, else with at most so many rows."""
    data = builder.tokenized("target", target)
    if has_folds(data, target):
        return target.model_copy(update={"fold": None})
    rows = len(data.splits["train"].labels)
    return target.model_copy(update={"train_rows": _at_most(most, target.train_rows, rows)})


def _at_most(most: int, given: TrainRows | None, rows: int) -> TrainRows | None:
    """Return `train_rows` with no more rows than `most`; a number for each class is kept."""
    if given is None:
        return most if most < rows else None
    return min(most, given) if isinstance(given, int) else given


def _result(stage: Generator[object, None, T]) -> T:
    """Run a generator to its end and return its result."""
    while True:
        try:
            next(stage)
        except StopIteration as end:
            result: T = end.value
            return result
