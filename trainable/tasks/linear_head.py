"""Linear models on features as the weights of a head.

Functions import scikit-learn, with SciPy a sixth of all imports of a slot, when they need it: many trials do not.
"""

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression

LinearHead = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Weights, shape (C, H), and biases, shape (C,)."""


@dataclass(frozen=True)
class HeadFit:
    """How a linear head is fitted."""

    strength: float
    """C of scikit-learn: a higher value regularises less."""
    balanced: bool = False
    """Whether each class has the same weight in total."""
    bias: bool = True
    """Whether the head has a bias."""
    tolerance: float = 1e-7
    """How exactly it is solved; with the default, rounding in the features changes it as little."""


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
    model: "LogisticRegression", features: Any, labels: NDArray[np.int64], names: tuple[str, ...]
) -> "LogisticRegression":
    """Fit a regression quietly and in one thread, and return it.

    Args:
        model: with its settings.
        features: of N rows, dense or sparse, shape (N, H).
        labels: index into `names` of each row's class, shape (N,).
        names: all classes.

    Raises:
        ValueError: if all rows have the same class.
    """
    from sklearn.exceptions import ConvergenceWarning

    # One thread: beside the threads of trials, several would wait for each other most of the time.
    with threadpool_limits(1, "blas"), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a few steps short of the optimum is fine here
        return model.fit(features, np.array(names)[labels])


def as_head(
    model: "LogisticRegression", mean: NDArray[np.float64], spread: NDArray[np.float64], names: tuple[str, ...]
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
