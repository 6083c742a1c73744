"""The scores of a classifier's probabilities. A test compares them with scikit-learn.

Scores of classes one against the rest are averaged over the classes that have rows with and without them; with two
classes the second one counts alone, as in scikit-learn.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.int64]
Floats = NDArray[np.float64]

_CALIBRATION_BINS = 15


def auroc(probabilities: Floats, labels: Labels) -> float:
    """Return the area under the ROC curve: how often a row of a class has a higher probability than another row."""
    return _one_against_the_rest(_auroc, probabilities, labels)


def average_precision(probabilities: Floats, labels: Labels) -> float:
    """Return the mean of the precision over the rows of a class, each at the probability of that row."""
    return _one_against_the_rest(_average_precision, probabilities, labels)


def brier(probabilities: Floats, labels: Labels) -> float:
    """Return the mean squared error of the probabilities, summed over classes; with two classes of the second one."""
    true = labels[:, None] == np.arange(probabilities.shape[1])
    squared = (probabilities - true) ** 2
    return float((squared[:, 1] if probabilities.shape[1] == 2 else squared.sum(1)).mean())


def calibration_error(probabilities: Floats, labels: Labels) -> float:
    """Return the expected calibration error (Guo et al. 2017) of the most probable class, in 15 bins of equal width."""
    confidence, right = probabilities.max(1), probabilities.argmax(1) == labels
    bins = np.minimum((confidence * _CALIBRATION_BINS).astype(np.int64), _CALIBRATION_BINS - 1)
    differences = np.bincount(bins, weights=confidence - right, minlength=_CALIBRATION_BINS)
    return float(np.abs(differences).sum() / len(labels))


SCORES: dict[str, Callable[[Floats, Labels], float]] = {
    "auroc": auroc,
    "average_precision": average_precision,
    "brier": brier,
    "calibration_error": calibration_error,
}


def _one_against_the_rest(score: Callable[[Floats, NDArray[Any]], float], chances: Floats, labels: Labels) -> float:
    classes = [1] if chances.shape[1] == 2 else range(chances.shape[1])
    of_class = [labels == number for number in classes]
    scored = [
        score(chances[:, n], is_) for n, is_ in zip(classes, of_class, strict=True) if 0 < is_.sum() < len(labels)
    ]
    return float(np.mean(scored)) if scored else 0.0


def _auroc(chances: Floats, positive: NDArray[np.bool_]) -> float:
    """Return the share of pairs in the right order; equal probabilities are half a pair (Mann & Whitney 1947)."""
    from scipy.stats import rankdata  # takes a second, which the start of a sweep need not wait for

    count = int(positive.sum())
    above = rankdata(chances)[positive].sum() - count * (count + 1) / 2
    return float(above / (count * (len(positive) - count)))


def _average_precision(chances: Floats, positive: NDArray[np.bool_]) -> float:
    order = np.argsort(-chances, kind="stable")
    hits, at = np.cumsum(positive[order]), np.arange(1, len(positive) + 1)
    last = np.append(np.diff(chances[order]) != 0, True)  # of rows with equal probabilities the last one counts
    found, precision = hits[last], hits[last] / at[last]
    return float((np.diff(found, prepend=0) * precision).sum() / positive.sum())
