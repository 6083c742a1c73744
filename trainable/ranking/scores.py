"""Scores of features: how well they fit the labels of their rows, without training anything on them."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from sklearn.covariance import ledoit_wolf
from sklearn.neighbors import KNeighborsClassifier

from trainable.errors import TrialError

Features = NDArray[np.float64]
Labels = NDArray[np.int64]

NEIGHBOURS = 5
_SPAN = 10.0
"""Strengths of LogME's prior that are searched: so many powers of ten below and above the mean squared feature."""
_COARSE = 81
"""Strengths that are tried before the best one is refined."""
_TINY = 1e-300
"""Takes the place of zero in a logarithm."""


@dataclass(frozen=True)
class Scores:
    """How well the features of rows fit their labels; higher is better for each."""

    log_me: float
    """See `log_me`."""
    h_score: float
    """See `h_score`."""
    knn: float
    """See `knn_accuracy`."""


def score(features: Features, labels: Labels) -> Scores:
    """Return all scores of features, shape (N, H), with the class of each row, shape (N,).

    Raises:
        TrialError: if all rows have the same class, or if there are fewer than three rows.
    """
    if len(features) < 3 or len(np.unique(labels)) < 2:
        found = f"{len(features)} rows of {len(np.unique(labels))} classes"
        raise TrialError(f"the target has {found} for training; a score needs at least 3 rows and 2 classes")
    return Scores(log_me(features, labels), h_score(features, labels), knn_accuracy(features, labels))


def log_me(features: Features, labels: Labels) -> float:
    """Return LogME: the log evidence of a linear model, per row and averaged over the classes (You et al. 2021).

    For each class, a Bayesian linear model predicts 1 for its rows and 0 for the others. Its evidence is maximised over
    the precision of the weights and of the noise. The paper iterates to a fixed point; here, one precision is
    eliminated, and the maximum over the other is searched.

    Args:
        features: shape (N, H).
        labels: class of each row, shape (N,).
    """
    left, singular, _ = np.linalg.svd(features, full_matrices=False)
    squared = singular**2  # eigenvalues of F F^T, (K,)
    targets = (labels[:, None] == np.unique(labels)).astype(np.float64)  # (N, C)
    inside = (left.T @ targets) ** 2  # (K, C)
    outside = np.maximum((targets**2).sum(0) - inside.sum(0), 0.0)
    each = [_evidence(squared, inside[:, column], outside[column], len(labels)) for column in range(len(outside))]
    return float(np.mean(each)) / len(labels)


def _evidence(squared: Features, inside: Features, outside: float, rows: int) -> float:
    """Return the maximum of the log evidence over both precisions.

    Args:
        squared: eigenvalues of F F^T, shape (K,).
        inside: squared coordinates of the targets along its eigenvectors, shape (K,).
        outside: squared length of the rest of the targets.
        rows: number of rows.
    """

    def cost(strength: float) -> float:
        ratio = squared / math.exp(strength)
        error = float((inside / (1 + ratio)).sum() + outside)
        return 0.5 * (rows * math.log(2 * math.pi * math.e * max(error, _TINY) / rows) + float(np.log1p(ratio).sum()))

    middle = math.log(max(float(squared.mean()), _TINY))
    tried = np.linspace(middle - _SPAN * math.log(10), middle + _SPAN * math.log(10), _COARSE)
    best = int(np.argmin([cost(strength) for strength in tried]))
    bounds = float(tried[max(best - 1, 0)]), float(tried[min(best + 1, _COARSE - 1)])
    return -float(minimize_scalar(cost, bounds=bounds, method="bounded", options={"xatol": 1e-6}).fun)


def h_score(features: Features, labels: Labels) -> float:
    """Return the H-score with shrinkage: the spread of the class means, relative to that of all rows.

    Bao et al. 2019 divide the covariance of the class means by that of the features. With fewer rows than features the
    latter has no inverse. Ibrahim et al. 2022 shrink both as Ledoit and Wolf do. The score is between 0 and the number
    of classes minus 1.

    Args:
        features: shape (N, H).
        labels: class of each row, shape (N,).
    """
    centred = features - features.mean(0)
    covariance, shrinkage = ledoit_wolf(centred, assume_centered=True)
    _, index, counts = np.unique(labels, return_inverse=True, return_counts=True)
    sums = np.zeros((len(counts), features.shape[1]))
    np.add.at(sums, index, centred)
    weighted = sums / np.sqrt(counts * len(labels))[:, None]  # its product with itself is the means' covariance
    inverse = np.linalg.pinv(covariance, hermitian=True)  # of features without any spread it is zero
    return (1 - float(shrinkage)) * float((weighted @ inverse * weighted).sum())


def knn_accuracy(features: Features, labels: Labels) -> float:
    """Return the share of rows whose class is that of their nearest other rows (leave-one-out).

    Up to five neighbours by cosine distance vote; closer ones count more.

    Args:
        features: shape (N, H), N at least 2.
        labels: class of each row, shape (N,).
    """
    count = min(NEIGHBOURS, len(labels) - 1)
    model = KNeighborsClassifier(count, metric="cosine", weights="distance").fit(features, labels)
    return float((model.predict(None) == labels).mean())  # without X, a row is not its own neighbour
