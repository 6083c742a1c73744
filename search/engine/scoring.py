"""Scores the winner on the test split, once, and measures what the search added to the best baseline."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from numpy.typing import NDArray

from search.plan.plan import Plan
from search.record.scores import Baseline, Gain, TestScore
from search.study.baselines import Contest, describe_gain, plain_gain
from search.study.sweep_study import SweepStudy
from search.study.trial_settings import trial_config
from trainable.baselines.results import config_of
from trainable.errors import ConfigError, TrialError
from trainable.inputs.prepare import TokenizedDataset, tokenized_dataset_of
from trainable.model.encoder import fingerprint
from trainable.model.limits import resolve_encoder
from trainable.stages.trained_on import trained_on
from trainable.tasks.registry import TASKS
from trainable.tasks.task import Task
from trainable.workspace import Workspace

Split = Literal["validation", "test"]


@dataclass(frozen=True)
class Predictions:
    """What a model gives for the rows of a split."""

    split: Split
    task: Task
    logits: torch.Tensor
    """Shape (N, C)."""
    labels: NDArray[Any]
    """The true labels, shape (N, ...)."""
    label_names: tuple[str, ...]


def predict(checkpoint: Path, split: Split, workspace: Workspace, encoder: str | None = None) -> Predictions | None:
    """Return a finished model's predictions for a split of its target data, or None if there is no such split.

    Args:
        checkpoint: folder of the checkpoint of a trial or a baseline.
        split: `validation` or `test`.
        workspace: the folders of data and caches.
        encoder: path or name of the encoder, if it is not where it was in training.
    """
    from trainable.baselines.checkpoints import checkpoint_logits  # imports scikit-learn, which takes seconds

    tokenized = _data_of(checkpoint, workspace, encoder)
    if split not in tokenized.splits:
        return None
    logits = checkpoint_logits(checkpoint, split, workspace, encoder)
    assert logits is not None
    return Predictions(split, TASKS[tokenized.task], logits, tokenized.splits[split].labels, tokenized.label_names)


def _data_of(checkpoint: Path, workspace: Workspace, encoder: str | None) -> TokenizedDataset:
    config = config_of(checkpoint)
    config = config.model_copy(update={"encoder": encoder or config.encoder})
    return tokenized_dataset_of(config, config.target, workspace)


def test_score(checkpoint: Path, workspace: Workspace, metric: str, encoder: str | None = None) -> TestScore | None:
    """Return the scores of a finished model on the target's test split, or None if there is no such split.

    Args:
        checkpoint: see `predict`.
        workspace: see `predict`.
        metric: the metric that gets a confidence interval.
        encoder: see `predict`.
    """
    predictions = predict(checkpoint, "test", workspace, encoder)
    return scores_of(predictions, metric) if predictions else None


def scores_of(predictions: Predictions, metric: str) -> TestScore:
    """Return the scores of predictions, with a confidence interval of one metric."""
    task, logits, labels, names = predictions.task, predictions.logits, predictions.labels, predictions.label_names
    low, high = task.interval(logits, labels, metric, names)
    class_scores = task.per_class(logits, labels, names)
    never_predicted = tuple(each.label for each in class_scores if each.rows and not each.predicted)
    return TestScore(task.scores(logits, labels, names), low, high, len(labels), class_scores, never_predicted)


@dataclass(frozen=True)
class WinnerScores:
    """How good the winner is."""

    test: TestScore | None = None
    """Its scores on the test split; None if there is none, or no winner."""
    gain: Gain | None = None
    """What the search added to the best baseline."""
    checkpoint: Path | None = None
    """The folder of its model."""
    predictions: Predictions | None = None
    """Its predictions for the test split, else for the validation split; None if it was trained on those rows."""


def score_winner(plan: Plan, storage: Path, study: SweepStudy, contest: Contest) -> WinnerScores:
    """Return the winner's scores on the test split, and what the search added to the best baseline.

    If a trial won, the gain is measured on the test split, which chose neither; without one, on the validation split.
    """
    workspace, metric, baseline = plan.workspace(storage), plan.settings.metric, contest.winning_baseline
    if baseline:
        checkpoint = study.folder / str(baseline.checkpoint)
        encoder = encoder_of(plan, checkpoint)
    elif contest.exported is None:
        return WinnerScores()
    else:
        folder = contest.exported.checkpoint_in(study.folder)
        assert folder is not None  # a trial with a model has one
        checkpoint, encoder = folder, trial_config(plan, contest.exported).encoder
    ours = predict(checkpoint, "test", workspace, encoder)
    test = scores_of(ours, metric) if ours else None
    if ours is None and not plan.has_folds:  # with folds, the model may have been trained on validation rows
        ours = predict(checkpoint, "validation", workspace, encoder)
    best = contest.baselines[0] if contest.baselines else None
    if baseline or ours is None or best is None or best.checkpoint is None:
        return WinnerScores(test, plain_gain(plan, contest), checkpoint, ours)
    try:
        gain: Gain | None = _measured_gain(plan, study.folder / best.checkpoint, best, ours, workspace)
    except (ConfigError, TrialError, OSError):  # the result of the search matters more than this interval
        gain = plain_gain(plan, contest)
    return WinnerScores(test, gain, checkpoint, ours)


def _measured_gain(plan: Plan, checkpoint: Path, baseline: Baseline, ours: Predictions, workspace: Workspace) -> Gain:
    """Return the difference between the winner's predictions and those of the best baseline, on the same rows."""
    metric, task, labels, names = plan.settings.metric, ours.task, ours.labels, ours.label_names
    theirs = predict(checkpoint, ours.split, workspace, encoder_of(plan, checkpoint))
    assert theirs is not None  # it has the same data
    value, other = (task.scores(each.logits, labels, names)[metric] for each in (ours, theirs))
    interval = task.difference_interval(ours.logits, theirs.logits, labels, metric, names)
    return describe_gain(baseline, (value, other), metric, ours.split, interval, len(labels))


def encoder_of(plan: Plan, checkpoint: Path) -> str | None:
    """Return the present path or name of a checkpoint's encoder, which may have moved together with the sweep."""
    names = [str(value) for name, value in plan.space.corners() if name == "encoder"] or [plan.base["encoder"]]
    facts = trained_on(checkpoint)
    encoders = [resolve_encoder(name, plan.roots) for name in names]
    return next((encoder for encoder in encoders if facts and fingerprint(encoder) == facts.encoder), None)
