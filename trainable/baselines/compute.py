"""Trains the baselines of a sweep one after another, and stores each result; one function for every process."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from filelock import FileLock

from trainable.baselines.features import frozen_config, train_features
from trainable.baselines.results import BaselineFolder, BaselineResult
from trainable.baselines.text_models import (
    LabelledTexts,
    save_text_model,
    text_logits,
    train_majority,
    train_tfidf,
)
from trainable.checkpoint import write_checkpoint, write_facts
from trainable.data.read_splits import read_splits
from trainable.errors import error_text
from trainable.inputs.token_inputs import TokenInputs
from trainable.loop.evaluate import score
from trainable.model.encoder import checked_limits
from trainable.settings.config import TrialConfig
from trainable.stages.stage_builder import StageBuilder
from trainable.store.files import write_folder
from trainable.workspace import Workspace

MOST_ROWS = 20_000
"""Most training rows; of more, a stratified subset is used, so that the baselines take about a minute."""
LOCK_FILE = "lock"
"""A process holds the lock of this file while it computes baselines."""


def compute_baselines(config: TrialConfig, workspace: Workspace, folder: BaselineFolder) -> None:
    """Train each baseline that is missing, on the splits of a trial's target stage, and store its result and model.

    An error becomes the baseline's result. If another process computes baselines, this one waits for it.

    Args:
        config: the settings of a trial: its encoder, its target data, `train_rows` and `padding_length`.
        workspace: the cache with the tokenised data, and the data folders.
        folder: where results and models are stored.
    """
    if not folder.missing():
        return
    folder.path.mkdir(exist_ok=True)
    with FileLock(folder.path / LOCK_FILE):
        work = _Work(config, workspace)
        for name in folder.missing():
            begun = folder.begin(name)
            if begun is not None:
                folder.write(_compute(work, begun, folder.checkpoint(name)))


def _compute(work: "_Work", begun: BaselineResult, checkpoint: Path) -> BaselineResult:
    """Train one baseline and write its checkpoint; an error is part of the result."""
    start = time.monotonic()
    train: dict[str, Callable[[Path], dict[str, float]]] = {
        "majority": work.majority,
        "tfidf": work.tfidf,
        "features": work.features,
    }
    metrics: dict[str, float] = {}
    try:
        write_folder(checkpoint, lambda into: metrics.update(train[begun.name](into)))
        result = replace(begun, metrics=metrics, rows=work.rows, notes=work.notes)
    except Exception as error:  # of any library; a sweep must not fail because of a baseline
        result = replace(begun, error=error_text(error))
    return replace(result, seconds=time.monotonic() - start)


@dataclass
class _Work:
    """The data of the baselines, read when the first one needs them. Each method writes a model and returns scores."""

    given: TrialConfig
    workspace: Workspace

    @cached_property
    def _builder(self) -> StageBuilder:
        """Return the builder of a trial with all layers frozen, and with at most `MOST_ROWS` training rows."""
        config = frozen_config(self.given, checked_limits(self.given.encoder).depth)
        builder = StageBuilder(config, self.workspace)
        train, _ = builder.splits(builder.tokenized("target", config.target), config.target)
        self._all_rows = len(train.labels)
        if self._all_rows <= MOST_ROWS:
            return builder
        target = config.target.model_copy(update={"train_rows": MOST_ROWS})
        return StageBuilder(config.model_copy(update={"target": target}), self.workspace)

    @property
    def rows(self) -> int:
        """Return the number of training rows that are used."""
        return min(self._all_rows, MOST_ROWS)

    @property
    def notes(self) -> tuple[str, ...]:
        """Return a sentence if only some of the training rows are used."""
        if self._all_rows <= MOST_ROWS:
            return ()
        return (f"baselines are trained on {MOST_ROWS} of {self._all_rows} training rows, to take about a minute",)

    @cached_property
    def _texts(self) -> tuple[LabelledTexts, LabelledTexts]:
        """Return the training rows that are used, and the validation split."""
        builder = self._builder
        tokenized = builder.tokenized("target", builder.config.target)
        chosen, _ = builder.splits(tokenized, builder.config.target)
        assert isinstance(chosen.inputs, TokenInputs)
        splits = read_splits(builder.config.dataset_of(builder.config.target), self.workspace.roots)
        train, validation = splits.train.take(chosen.inputs.rows), splits.validation
        assert np.array_equal(train.labels, chosen.labels)
        return LabelledTexts.of(train, splits.label_names), LabelledTexts.of(validation, splits.label_names)

    def majority(self, folder: Path) -> dict[str, float]:
        return self._save(train_majority(self._texts[0]), folder)

    def tfidf(self, folder: Path) -> dict[str, float]:
        return self._save(train_tfidf(*self._texts, self._builder.config.metric), folder)

    def _save(self, model: object, folder: Path) -> dict[str, float]:
        _, validation = self._texts
        metrics, _ = score(text_logits(model, validation.texts, validation.names), validation.labels)
        save_text_model(model, folder)
        builder, named = self._builder, {f"target.validation.{name}": value for name, value in metrics.items()}
        write_facts(folder, builder.config, validation.names, named, finished=True, used=builder.trained_on())
        return metrics

    def features(self, folder: Path) -> dict[str, float]:
        builder = self._builder
        training = train_features(builder)
        metrics = training.progress.best_metrics
        write_checkpoint(folder, builder.config, training, (), metrics, state="finished", used=builder.trained_on())
        return {name.removeprefix("target.validation."): value for name, value in metrics.items()}
