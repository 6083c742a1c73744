"""A linear model on the features of the frozen encoder, as an ordinary model with all layers frozen."""

import numpy as np
from numpy.typing import NDArray

from trainable.baselines.regression import FoldPlan, Regression, head_of
from trainable.baselines.results import mean_metrics
from trainable.baselines.word_models import WordRegression
from trainable.loop.head_features import head_features, set_head, word_features
from trainable.loop.output_scale import take_scale_out
from trainable.loop.training import StageTraining
from trainable.model.encoder import output_layer
from trainable.settings.config import TrialConfig
from trainable.stages.reuse_frozen import reuse_frozen_output
from trainable.stages.stage_builder import StageBuilder
from trainable.tasks.linear_head import mean_and_spread

STRENGTHS = (0.001, 0.01, 0.1, 1.0, 10.0)
"""Values of C to try on standardised features; a higher one regularises less."""


def frozen_config(config: TrialConfig, depth: int) -> TrialConfig:
    """Return the settings of a trial without a source stage in which all layers are frozen.

    The padding is `longest`, which gives the same logits and lets the output of the layers be cached.
    """
    target = config.target.model_copy(update={"frozen_layers": depth, "padding": "longest", "head": "new"})
    return config.without_sources().model_copy(update={"target": target})


def train_features(builder: StageBuilder, plan: FoldPlan) -> tuple[StageTraining, list[dict[str, float]]]:
    """Return the target stage with all layers frozen, at its end, and the scores of each fold.

    Its head is a logistic regression, or a ridge regression where the labels are numbers.

    Args:
        builder: builder of a trial with settings from `frozen_config`.
        plan: which of the stage's rows are trained on, and which are held out.

    Raises:
        TrialError: if memory has no room for a single row.
        ValueError: if all training rows have the same class.
    """
    stage = builder.config.target
    tokenized, context = builder.tokenized("target", stage), builder.context("target")
    model, _ = builder.model(tokenized, stage)
    training = StageTraining(model, *builder.splits(tokenized, stage), stage, context)
    reuse_frozen_output(builder, training, tokenized, None)
    found, mean, spread = _regression(training, plan, tokenized.label_names)
    model, scores = found.best(STRENGTHS, training.context.metric)
    head = output_layer(training.model)[1]
    set_head(head, *head_of(model, mean, spread, tokenized.label_names))
    take_scale_out(head, training.output_scale)
    if plan.is_plain:
        scores = [training.scores()]
    _end(training, mean_metrics(scores))
    return training, scores


def _regression(
    training: StageTraining, plan: FoldPlan, names: tuple[str, ...]
) -> tuple[Regression, NDArray[np.float64], NDArray[np.float64]]:
    """Return the regression on standardised features, and mean and spread of the features, both of the shape (H,)."""
    splits, task = (training.steps.train, training.validation), training.context.task
    labels = np.concatenate([split.labels for split in splits])
    if not splits[0].inputs.answers:
        features = np.concatenate([head_features(training, split) for split in splits])
        mean, spread = mean_and_spread(features[plan.final])
        threshold = training.stage.decides_at
        return Regression(task, (features - mean) / spread, labels, names, plan, threshold), mean, spread
    (features, places), (others, further) = (word_features(training, split) for split in splits)
    places = np.concatenate([places, further + [len(splits[0].labels), 0]])
    features = np.concatenate([features, others])
    mean, spread = mean_and_spread(features[np.isin(places[:, 0], plan.final)])
    return WordRegression(task, (features - mean) / spread, labels, names, plan, places=places), mean, spread


def _end(training: StageTraining, metrics: dict[str, float]) -> None:
    """Mark a stage as done, with these scores as its best ones."""
    progress = training.progress
    progress.step = progress.best_step = training.total
    progress.best = metrics[training.context.metric]
    progress.best_metrics = {f"target.validation.{name}": value for name, value in metrics.items()}
    training.finish()
