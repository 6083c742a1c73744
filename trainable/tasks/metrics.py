"""Scores of a classifier, all from its confusion counts, so that one page defines them and a bootstrap is cheap.

Definitions are scikit-learn's (`zero_division=0`); a test holds them against it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Direction(StrEnum):
    """Which values of a metric are better."""

    MAX = "max"
    MIN = "min"

    def cost(self, value: float) -> float:
        """The value as something of which less is better."""
        return -value if self is Direction.MAX else value


METRICS = dict.fromkeys(
    ("accuracy", "macro_f1", "weighted_f1", "macro_precision", "macro_recall", "mcc"), Direction.MAX
) | {"loss": Direction.MIN}
"""Every metric that can select a model, with the direction that is better."""
_VALUES = 2**20
"""Values that the resampling of an interval holds at a time, 8 MiB of them."""


def is_better(value: float, best: float | None, metric: str) -> bool:
    """Whether a value beats the best so far; not a number never does."""
    if best is None:
        return not np.isnan(value)
    direction = METRICS[metric]
    return direction.cost(value) < direction.cost(best)


def confusion(labels: NDArray[np.int64], predicted: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """Counts of shape (C, C): true label by row, prediction by column."""
    return np.bincount(labels * classes + predicted, minlength=classes * classes).reshape(classes, classes)


def scores(counts: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
    """Every metric but the loss, from confusion counts.

    Args:
        counts: shape (..., C, C); leading dimensions are kept.
    """
    counts = counts.astype(np.float64)
    hits = np.diagonal(counts, axis1=-2, axis2=-1)  # (..., C)
    true, predicted = counts.sum(-1), counts.sum(-2)  # (..., C)
    total = true.sum(-1)
    precision, recall = _ratio(hits, predicted), _ratio(hits, true)
    f1 = _ratio(2 * hits, true + predicted)
    present = (true + predicted) > 0  # scikit-learn averages over labels that occur
    covariance = hits.sum(-1) * total - (true * predicted).sum(-1)
    spread = np.sqrt(total**2 - (predicted**2).sum(-1)) * np.sqrt(total**2 - (true**2).sum(-1))
    return {
        "accuracy": _ratio(hits.sum(-1), total),
        "macro_f1": _ratio((f1 * present).sum(-1), present.sum(-1)),
        "weighted_f1": _ratio((f1 * true).sum(-1), total),
        "macro_precision": _ratio((precision * present).sum(-1), present.sum(-1)),
        "macro_recall": _ratio((recall * present).sum(-1), present.sum(-1)),
        "mcc": _ratio(covariance, spread),
    }


@dataclass(frozen=True)
class ClassScores:
    """How well a model finds the examples of one class."""

    label: str
    precision: float
    """0 to 1, as recall and F1 are; 0 where nothing was predicted."""
    recall: float
    f1: float
    rows: int
    """Examples of the class."""


def per_class(counts: NDArray[np.int64], names: tuple[str, ...]) -> list[ClassScores]:
    """The scores of each class, in the order of the names."""
    hits, true, predicted = np.diagonal(counts), counts.sum(1), counts.sum(0)
    columns = zip(
        names, _ratio(hits, predicted), _ratio(hits, true), _ratio(2 * hits, true + predicted), true, strict=True
    )
    return [ClassScores(name, float(p), float(r), float(f), int(n)) for name, p, r, f, n in columns]


def bootstrap_interval(counts: NDArray[np.int64], metric: str, seed: int = 0, draws: int = 2000) -> tuple[float, float]:
    """A 95 % percentile interval of a metric over resampled rows (Efron & Tibshirani 1993, chapter 13).

    Resampling rows with replacement is a multinomial draw over the cells of the confusion table.
    """
    total = int(counts.sum())
    shares = (counts / total).ravel()
    # An empty cell stays empty. The last one is drawn all the same: it gets what rounding leaves.
    drawn = np.flatnonzero(np.append(shares[:-1] > 0, True))
    generator = np.random.default_rng(seed)
    values = []
    for size in _portions(draws, counts.size):
        resampled = np.zeros((size, counts.size), dtype=np.int64)
        resampled[:, drawn] = generator.multinomial(total, shares[drawn], size=size)
        values.append(scores(resampled.reshape(size, *counts.shape))[metric])
    return _middle(values)


def mean_interval(values: NDArray[np.float64], seed: int = 0, draws: int = 2000) -> tuple[float, float]:
    """A 95 % percentile interval of the mean of values of shape (N,), such as rows' losses, over resampled rows."""
    generator, count = np.random.default_rng(seed), len(values)
    return _middle([values[generator.integers(count, size=(n, count))].mean(1) for n in _portions(draws, count)])


def _portions(draws: int, width: int) -> Iterator[int]:
    """The draws in portions that hold a bounded number of values, each draw so many."""
    most = max(1, _VALUES // width)
    for done in range(0, draws, most):
        yield min(most, draws - done)


def _middle(values: list[NDArray[np.float64]]) -> tuple[float, float]:
    """The interval that holds the middle 95 % of all values."""
    low, high = np.quantile(np.concatenate(values), [0.025, 0.975])
    return float(low), float(high)


def _ratio(above: NDArray[Any], below: NDArray[Any]) -> NDArray[np.float64]:
    """Division in which nothing over nothing is 0."""
    above, below = np.asarray(above, dtype=np.float64), np.asarray(below, dtype=np.float64)
    ratio: NDArray[np.float64] = np.zeros(np.broadcast_shapes(above.shape, below.shape))
    np.divide(above, below, out=ratio, where=below != 0)
    return ratio
