"""Trains the baselines of a sweep one after another, and stores each result; one function for every process."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from trainable.baselines.features import frozen_config, train_features
from trainable.baselines.regression import FoldPlan
from trainable.baselines.results import BaselineFolder, BaselineResult, mean_metrics
from trainable.baselines.rules import RULES, score_rule
from trainable.baselines.text_models import (
    LabelledTexts,
    save_text_model,
    train_constant,
    train_tfidf,
)
from trainable.baselines.word_models import score_word_tags
from trainable.checkpoint import write_checkpoint, write_facts
from trainable.data.examples import Examples
from trainable.errors import error_text
from trainable.inputs.folds import Fold, fold_of, has_folds
from trainable.model.encoder import checked_limits
from trainable.settings.config import TrialConfig
from trainable.settings.dataset import Dataset
from trainable.settings.stage import Threshold
from trainable.stages.stage_builder import StageBuilder
from trainable.store.files import write_folder
from trainable.tasks.registry import TASKS, read_splits
from trainable.workspace import Workspace

MOST_ROWS = 20_000
"""Most training rows; of more, a stratified subset is used, so that the baselines take about a minute."""
LOCK_FILE = "lock"
"""A process holds the lock of this file while it computes baselines."""


def compute_baselines(
    config: TrialConfig, workspace: Workspace, folder: BaselineFolder, folds: int, refit: bool
) -> None:
    """Train each baseline that is missing, on the splits of a trial's target stage, and store its result and model.

    An error becomes the baseline's result. If another process computes baselines, this one waits for it.

    Args:
        config: the settings of a trial: its encoder, its target data, `train_rows` and `padding_length`.
        workspace: the cache with the tokenised data, and the data folders.
        folder: where results and models are stored.
        folds: number of folds whose mean is the score, where the target has folds.
        refit: whether the models train on the validation rows, too, where the target has folds.
    """
    task = config.dataset_of(config.target).task
    if not folder.missing(task):
        return
    folder.path.mkdir(exist_ok=True)
    with FileLock(folder.path / LOCK_FILE):
        work = _Work(config, workspace, folds, refit)
        for name in folder.missing(task):
            begun = folder.begin(name)
            if begun is not None:
                folder.write(_compute(work, begun, folder.checkpoint(name)))


def _compute(work: "_Work", begun: BaselineResult, checkpoint: Path) -> BaselineResult:
    """Train one baseline and write its checkpoint; an error is part of the result."""
    start = time.monotonic()
    train: dict[str, Callable[[Path], list[dict[str, float]]]] = {
        **dict.fromkeys(("majority", "mean", "label_shares"), work.constant),
        **dict.fromkeys(("tfidf", "tfidf_ridge", "tfidf_labels"), work.tfidf),
        **dict.fromkeys(("features", "features_ridge", "features_labels", "token_features"), work.features),
        **{name: partial(work.rule, name) for name in RULES},
        "word_tags": work.word_tags,
    }
    folds: list[dict[str, float]] = []
    try:
        write_folder(checkpoint, lambda into: folds.extend(train[begun.name](into)))
        result = replace(begun, metrics=mean_metrics(folds), folds=tuple(folds), rows=work.rows, notes=work.notes)
    except Exception as error:  # of any library; a sweep must not fail because of a baseline
        result = replace(begun, error=error_text(error))
    return replace(result, seconds=time.monotonic() - start)


@dataclass
class _Work:
    """The data of the baselines, read when the first one needs them.

    Each method writes a model and returns the scores of each fold.
    """

    given: TrialConfig
    workspace: Workspace
    folds: int
    refit: bool

    @cached_property
    def _builder(self) -> StageBuilder:
        """Return the builder of a trial with all layers frozen, and with at most `MOST_ROWS` training rows."""
        config = frozen_config(self.given, checked_limits(self.given.encoder).depth)
        builder = StageBuilder(config, self.workspace)
        train, _ = builder.rows(builder.tokenized("target", config.target), config.target)
        self._all_rows = len(train)  # that the settings allow
        if self._all_rows <= MOST_ROWS:
            return builder
        target = config.target.model_copy(update={"train_rows": MOST_ROWS})
        return StageBuilder(config.model_copy(update={"target": target}), self.workspace)

    @property
    def _metric(self) -> str:
        config = self._builder.config
        return config.metric_of(config.target)

    @property
    def _threshold(self) -> Threshold:
        return self._builder.config.target.threshold

    @property
    def rows(self) -> int:
        """Return the number of training rows that are used."""
        return len(self._plan.final)

    @property
    def notes(self) -> tuple[str, ...]:
        """Return a sentence if only some of the training rows are used."""
        if self._all_rows <= MOST_ROWS:
            return ()
        return (f"baselines are trained on {MOST_ROWS} of {self._all_rows} training rows, to take about a minute",)

    @cached_property
    def _rows(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the training rows that are used, and the validation rows that are scored."""
        builder, target = self._builder, self._builder.config.target
        return builder.rows(builder.tokenized("target", target), target)

    @cached_property
    def _plan(self) -> FoldPlan:
        builder, target = self._builder, self._builder.config.target
        data, seed = builder.tokenized("target", target), builder.config.dataset_of(target).split_seed
        train, scored = map(len, self._rows)
        if has_folds(data, target) and scored == len(data.splits["validation"].labels):
            folds = [fold_of(data, number, seed) for number in range(self.folds)]
            return FoldPlan(folds, fold_of(data, None, seed).train if self.refit else folds[0].train)
        fold = Fold(np.arange(train), np.arange(train, train + scored))
        return FoldPlan([fold], fold.train)

    @property
    def _trained_config(self) -> TrialConfig:
        """Return the settings that describe the models: a model that trains on all rows has no fold."""
        config = self._builder.config
        if len(self._plan.final) == len(self._plan.folds[0].train):
            return config
        return config.model_copy(update={"target": config.target.model_copy(update={"fold": None})})

    @property
    def _dataset(self) -> Dataset:
        return self._builder.config.dataset_of(self._builder.config.target)

    @cached_property
    def _examples(self) -> tuple[Examples, tuple[str, ...]]:
        """Return the rows of `_rows` as the files have them, and the label names."""
        splits, (train, scored) = read_splits(self._dataset, self.workspace.roots), self._rows
        return splits.train.take(train).followed_by(splits.validation.take(scored)), splits.label_names

    @cached_property
    def _texts(self) -> LabelledTexts:
        """Return the rows of `_rows` as models over words read them."""
        return LabelledTexts.of(*self._examples, TASKS[self._dataset.task])

    def constant(self, folder: Path) -> list[dict[str, float]]:
        return self._save(*train_constant(self._texts, self._plan, self._metric, self._threshold), folder)

    def rule(self, name: str, folder: Path) -> list[dict[str, float]]:
        return score_rule(name, *self._examples, TASKS[self._dataset.task], self._plan)

    def word_tags(self, folder: Path) -> list[dict[str, float]]:
        return score_word_tags(self._texts, self._plan)

    def tfidf(self, folder: Path) -> list[dict[str, float]]:
        return self._save(*train_tfidf(self._texts, self._plan, self._metric, self._threshold), folder)

    def _save(self, model: object, folds: list[dict[str, float]], folder: Path) -> list[dict[str, float]]:
        save_text_model(model, folder)
        named = {f"target.validation.{name}": value for name, value in mean_metrics(folds).items()}
        used = self._builder.trained_on()
        write_facts(folder, self._trained_config, self._texts.names, named, finished=True, used=used)
        return folds

    def features(self, folder: Path) -> list[dict[str, float]]:
        builder = self._builder
        training, folds = train_features(builder, self._plan)
        metrics, used = training.progress.best_metrics, builder.trained_on()
        write_checkpoint(folder, self._trained_config, training, {}, metrics, state="finished", used=used)
        return folds
