"""Logistic regression on the features of the frozen encoder, as an ordinary model with all layers frozen."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from torch import nn

from trainable.baselines.regression import FoldPlan, Regression
from trainable.baselines.results import mean_metrics
from trainable.compute.forward import forward
from trainable.compute.memory import split_to_fit
from trainable.errors import TrialError
from trainable.inputs.split import Split, batches_of
from trainable.loop.training import StageTraining
from trainable.model.pooling import BI_ENCODER, auto_pooling
from trainable.settings.config import TrialConfig
from trainable.stages.reuse_frozen import reuse_frozen_output
from trainable.stages.stage_builder import StageBuilder

STRENGTHS = (0.001, 0.01, 0.1, 1.0, 10.0)
"""Values of C to try on standardised features; a higher one regularises less."""
LEAST_SPREAD = 1e-6
"""A feature with a smaller standard deviation is constant but for rounding; dividing by it would give huge weights."""
UNSEEN = -20.0
"""Bias of a class without training rows, beside a mean bias of zero."""


def features_pooling(encoder: str, pairs: bool) -> str:
    """Return how the tokens of a frozen encoder are best pooled: as its folder says, else by their mean.

    The texts of a pair are encoded apart: a head on frozen layers cannot learn to compare them (InferSent).

    Args:
        encoder: the setting.
        pairs: whether the rows are pairs of texts.

    Raises:
        ConfigError: if there is no such encoder, or its file on pooling is damaged.
    """
    if pairs:
        return BI_ENCODER
    pooling = auto_pooling(encoder)
    return pooling.mode if pooling.stated else "mean"


def frozen_config(config: TrialConfig, depth: int) -> TrialConfig:
    """Return the settings of a trial without a source stage in which all layers are frozen.

    The padding is `longest`, which gives the same logits and lets the output of the layers be cached.
    """
    target = config.target.model_copy(update={"frozen_layers": depth, "padding": "longest", "head": "new"})
    return config.model_copy(update={"source": None, "target": target})


def train_features(builder: StageBuilder, plan: FoldPlan) -> tuple[StageTraining, list[dict[str, float]]]:
    """Return the target stage with all layers frozen, at its end, and the scores of each fold.

    Its head is a logistic regression.

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
    splits, names = (training.steps.train, training.validation), tokenized.label_names
    features = np.concatenate([_features(training, split) for split in splits])
    labels = np.concatenate([split.labels for split in splits])
    mean, spread = features[plan.final].mean(0), features[plan.final].std(0)
    spread[spread < LEAST_SPREAD] = 1.0
    regression = Regression((features - mean) / spread, labels, names, plan)
    model, scores = regression.best(STRENGTHS, training.context.metric)
    _set_head(_head(training.model), *as_head(model, mean, spread, names))
    if plan.is_plain:
        scores = [training.scores()]
    _end(training, mean_metrics(scores))
    return training, scores


def as_head(
    model: LogisticRegression, mean: NDArray[np.float64], spread: NDArray[np.float64], names: tuple[str, ...]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return weights, shape (C, H), and biases, shape (C,), that give a regression's probabilities for raw features.

    Args:
        model: a regression on standardised features, which may lack classes that have no training row.
        mean: mean of each feature, shape (H,).
        spread: standard deviation of each feature, shape (H,), at least `LEAST_SPREAD`.
        names: all classes.
    """
    weights, biases = model.coef_, model.intercept_
    if len(weights) == 1:  # two classes: half for each gives the same probabilities
        weights, biases = np.concatenate([-weights, weights]) / 2, np.concatenate([-biases, biases]) / 2
    rows = [names.index(str(name)) for name in model.classes_]
    all_weights, all_biases = np.zeros((len(names), len(mean))), np.full(len(names), UNSEEN)
    all_weights[rows] = weights / spread
    all_biases[rows] = biases - (weights / spread) @ mean
    return all_weights, all_biases


@torch.inference_mode()
def _features(training: StageTraining, split: Split) -> NDArray[np.float64]:
    """Return the inputs of the head for each row of a split, shape (N, H)."""
    network, inputs, context = training.steps.network.eval(), split.inputs, training.context
    head = _head(network)
    features = np.zeros((len(inputs.lengths), head.in_features))
    with _inputs_of(head) as caught:

        def compute(rows: NDArray[np.int64]) -> NDArray[np.float64]:
            caught.clear()
            forward(network, inputs.batch(rows), context.device, context.precision)
            head_inputs: NDArray[np.float64] = caught.pop().double().cpu().numpy()
            return head_inputs

        for rows, part in split_to_fit(batches_of(inputs, context.device), inputs.lengths, compute):
            if part is None:
                raise TrialError("out of memory: not even one row fits; lower target.padding_length")
            features[rows] = part
    return features


@contextmanager
def _inputs_of(module: nn.Module) -> Iterator[list[torch.Tensor]]:
    """Collect the inputs of a module."""
    caught: list[torch.Tensor] = []
    hook = module.register_forward_pre_hook(lambda _, given: caught.append(given[0]))
    try:
        yield caught
    finally:
        hook.remove()


def _head(model: nn.Module) -> nn.Linear:
    """Return the linear layer whose outputs are the logits."""
    return [module for module in model.modules() if isinstance(module, nn.Linear)][-1]


@torch.no_grad()
def _set_head(head: nn.Linear, weights: NDArray[np.float64], biases: NDArray[np.float64]) -> None:
    head.weight.copy_(torch.from_numpy(weights))
    head.bias.copy_(torch.from_numpy(biases))


def _end(training: StageTraining, metrics: dict[str, float]) -> None:
    """Mark a stage as done, with these scores as its best ones."""
    progress = training.progress
    progress.step = progress.best_step = training.total
    progress.best = metrics[training.context.metric]
    progress.best_metrics = {f"target.validation.{name}": value for name, value in metrics.items()}
    training.finish()
