"""The features that a head reads, and a logistic regression on them as the weights of the head."""

import warnings
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits
from torch import nn

from trainable.compute.forward import forward
from trainable.compute.memory import split_to_fit
from trainable.errors import TrialError
from trainable.inputs.split import Split, batches_of
from trainable.loop.training import StageTraining
from trainable.model.encoder import output_layer
from trainable.model.head_input import HeadInput

LEAST_SPREAD = 1e-6
"""A feature with a smaller standard deviation is constant but for rounding; dividing by it would give huge weights."""
UNSEEN = -20.0
"""Bias of a class without training rows, beside a mean bias of zero."""


def mean_and_spread(features: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and standard deviation of each feature, shape (H,); that of a constant feature is 1."""
    mean, spread = features.mean(0), features.std(0)
    spread[spread < LEAST_SPREAD] = 1.0
    return mean, spread


def fit_regression(
    model: LogisticRegression, features: Any, labels: NDArray[np.int64], names: tuple[str, ...]
) -> LogisticRegression:
    """Fit a regression quietly and in one thread, and return it.

    Args:
        model: with its settings.
        features: of N rows, dense or sparse, shape (N, H).
        labels: index into `names` of each row's class, shape (N,).
        names: all classes.

    Raises:
        ValueError: if all rows have the same class.
    """
    # One thread: beside the threads of trials, several would wait for each other most of the time.
    with threadpool_limits(1, "blas"), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a few steps short of the optimum is fine here
        return model.fit(features, np.array(names)[labels])


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
def head_features(training: StageTraining, split: Split, rows: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
    """Return the inputs of the head for rows of a split, shape (N, H).

    Args:
        training: the stage with the model.
        split: training or validation split, as the stage has it.
        rows: numbers of the rows; None means all.

    Raises:
        TrialError: if memory has no room for a single row.
    """
    network, inputs, context = training.steps.network.eval(), split.inputs, training.context
    features = np.zeros((len(inputs.lengths), output_layer(network)[1].in_features))

    def compute(batch: NDArray[np.int64]) -> NDArray[np.float64]:
        with HeadInput(network) as head_input:
            logits = forward(network, inputs.batch(batch), context.device, context.precision)
        read: NDArray[np.float64] = head_input.of(logits).double().cpu().numpy()
        return read

    for batch, part in split_to_fit(batches_of(inputs, context.device, rows), inputs.lengths, compute):
        if part is None:
            raise TrialError("out of memory: not even one row fits; lower target.padding_length")
        features[batch] = part
    return features if rows is None else features[rows]


@torch.no_grad()
def set_head(head: nn.Linear, weights: NDArray[np.float64], biases: NDArray[np.float64]) -> None:
    """Copy weights, shape (C, H), and biases, shape (C,), into a head.

    Raises:
        TrialError: if the head has no bias and the biases are not zero.
    """
    bias = dict(head.named_parameters()).get("bias")
    if bias is None and biases.any():
        raise TrialError("the head of this encoder has no bias, which a regression needs; set `pooling: mean`")
    head.weight.copy_(torch.from_numpy(weights))
    if bias is not None:
        bias.copy_(torch.from_numpy(biases))
