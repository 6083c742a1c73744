"""The scores of predicted numbers. A test compares them with scipy and scikit-learn."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]


def scores(predicted: Values, true: Values) -> dict[str, Values]:
    """Return every metric of regression except the loss.

    Args:
        predicted: shape (..., N); each score has the leading dimensions.
        true: shape (..., N).
    """
    return {name: score(predicted, true) for name, score in SCORES.items()}


def _pearson(predicted: Values, true: Values) -> Values:
    """Return the correlation; 0 where predictions or true values are all equal, as such predictions order nothing."""
    a, b = (each - each.mean(-1, keepdims=True) for each in (predicted, true))
    spread = np.sqrt((a**2).sum(-1) * (b**2).sum(-1))
    correlation: Values = np.zeros(spread.shape)
    np.divide((a * b).sum(-1), spread, out=correlation, where=spread > 0)
    return correlation


def _spearman(predicted: Values, true: Values) -> Values:
    from scipy.stats import rankdata  # takes a second, and few sweeps need it

    return _pearson(rankdata(predicted, axis=-1), rankdata(true, axis=-1))


def _rmse(predicted: Values, true: Values) -> Values:
    return np.asarray(np.sqrt(((predicted - true) ** 2).mean(-1)))


def _mae(predicted: Values, true: Values) -> Values:
    return np.asarray(np.abs(predicted - true).mean(-1))


def _r2(predicted: Values, true: Values) -> Values:
    """Return the share of the variance that is explained; 0 where the true values are all equal."""
    around = ((true - true.mean(-1, keepdims=True)) ** 2).sum(-1)
    share: Values = np.ones(around.shape)
    np.divide(((predicted - true) ** 2).sum(-1), around, out=share, where=around > 0)
    return np.asarray(1 - share)


SCORES: dict[str, Callable[[Values, Values], Any]] = {
    "pearson": _pearson,
    "spearman": _spearman,
    "r2": _r2,
    "rmse": _rmse,
    "mae": _mae,
}
