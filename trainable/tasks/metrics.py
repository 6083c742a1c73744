"""Computes the scores of a classifier from its confusion counts, which makes a bootstrap cheap.

The definitions are those of scikit-learn (`zero_division=0`); a test compares them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Direction(StrEnum):
    """The direction in which values of a metric are better."""

    MAX = "max"
    MIN = "min"

    def cost(self, value: float) -> float:
        """Return the value, negated if higher is better: a lower cost is always better."""
        return -value if self is Direction.MAX else value


METRICS = dict.fromkeys(
    ("accuracy", "macro_f1", "weighted_f1", "macro_precision", "macro_recall", "mcc"), Direction.MAX
) | {"loss": Direction.MIN}
"""Every metric that can select a model, and whether high or low values are better."""
_MAX_VALUES = 2**20
"""Values that the resampling for an interval keeps in memory at a time (8 MiB)."""


def is_better(value: float, best: float | None, metric: str) -> bool:
    """Return whether a value is better than the best so far; NaN never is."""
    if best is None:
        return not np.isnan(value)
    direction = METRICS[metric]
    return direction.cost(value) < direction.cost(best)


def confusion(labels: NDArray[np.int64], predicted: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """Return counts of shape (C, C): a row for each true label, a column for each predicted one."""
    return np.bincount(labels * classes + predicted, minlength=classes * classes).reshape(classes, classes)


def scores(counts: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
    """Return every metric except the loss.

    Args:
        counts: confusion counts of shape (..., C, C); each score has the leading dimensions.
    """
    counts = counts.astype(np.float64)
    hits = np.diagonal(counts, axis1=-2, axis2=-1)  # (..., C)
    true, predicted = counts.sum(-1), counts.sum(-2)  # (..., C)
    total = true.sum(-1)
    precision, recall = _ratio(hits, predicted), _ratio(hits, true)
    f1 = _ratio(2 * hits, true + predicted)
    present = (true + predicted) > 0  # like scikit-learn, average over the labels that occur
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
    """The scores of one class."""

    label: str
    precision: float
    """0 to 1, like recall and F1; 0 if the class was never predicted."""
    recall: float
    f1: float
    rows: int
    """True examples of the class."""


def per_class(counts: NDArray[np.int64], names: tuple[str, ...]) -> list[ClassScores]:
    """Return the scores of each class, in the order of the names."""
    hits, true, predicted = np.diagonal(counts), counts.sum(1), counts.sum(0)
    columns = zip(
        names, _ratio(hits, predicted), _ratio(hits, true), _ratio(2 * hits, true + predicted), true, strict=True
    )
    return [ClassScores(name, float(p), float(r), float(f), int(n)) for name, p, r, f, n in columns]


def bootstrap_interval(counts: NDArray[np.int64], metric: str, seed: int = 0, draws: int = 2000) -> tuple[float, float]:
    """Return a 95 % percentile interval of a metric over resampled rows (Efron & Tibshirani 1993, chapter 13).

    Resampling rows with replacement is a multinomial draw over the cells of the confusion table.
    """
    total = int(counts.sum())
    shares = (counts / total).ravel()
    # Empty cells stay empty. The last cell is always drawn: it gets the remainder of rounding.
    drawn = np.flatnonzero(np.append(shares[:-1] > 0, True))
    generator = np.random.default_rng(seed)
    values = []
    for size in _batches_of_draws(draws, counts.size):
        resampled = np.zeros((size, counts.size), dtype=np.int64)
        resampled[:, drawn] = generator.multinomial(total, shares[drawn], size=size)
        values.append(scores(resampled.reshape(size, *counts.shape))[metric])
    return _middle_95_percent(values)


def paired_interval(
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    labels: NDArray[np.int64],
    classes: int,
    metric: str,
    seed: int = 0,
    draws: int = 2000,
) -> tuple[float, float]:
    """Return a 95 % percentile interval of the difference of a metric between two models, over resampled rows.

    Each draw takes the same rows for both models, so that rows that are difficult for both do not widen the interval.

    Args:
        first: classes that the first model predicts, shape (N,).
        second: classes that the second model predicts; the difference is the first value minus the second.
        labels: true classes, shape (N,).
        classes: number of classes.
        metric: any metric except `loss`.
        seed: decides the draws.
        draws: number of draws.
    """
    generator, rows = np.random.default_rng(seed), len(labels)
    cells = [labels * classes + predicted for predicted in (first, second)]
    values = []
    for size in _batches_of_draws(draws, max(rows, classes * classes)):
        chosen = generator.integers(rows, size=(size, rows))
        counts = [np.stack([np.bincount(of[row], minlength=classes**2) for row in chosen]) for of in cells]
        of_first, of_second = (scores(each.reshape(size, classes, classes))[metric] for each in counts)
        values.append(of_first - of_second)
    return _middle_95_percent(values)


def mean_interval(values: NDArray[np.float64], seed: int = 0, draws: int = 2000) -> tuple[float, float]:
    """Return a 95 % percentile interval, over resampled rows, of the mean of values (N,), such as the rows' losses."""
    generator, count = np.random.default_rng(seed), len(values)
    return _middle_95_percent(
        [values[generator.integers(count, size=(n, count))].mean(1) for n in _batches_of_draws(draws, count)]
    )


def _batches_of_draws(draws: int, width: int) -> Iterator[int]:
    """Yield batch sizes that add up to `draws`; a batch has at most `_MAX_VALUES` values, each draw `width`."""
    most = max(1, _MAX_VALUES // width)
    for done in range(0, draws, most):
        yield min(most, draws - done)


def _middle_95_percent(values: list[NDArray[np.float64]]) -> tuple[float, float]:
    """Return the bounds of the middle 95 % of all values."""
    low, high = np.quantile(np.concatenate(values), [0.025, 0.975])
    return float(low), float(high)


def _ratio(above: NDArray[Any], below: NDArray[Any]) -> NDArray[np.float64]:
    """Return the quotient; it is 0 wherever `below` is 0."""
    above, below = np.asarray(above, dtype=np.float64), np.asarray(below, dtype=np.float64)
    ratio: NDArray[np.float64] = np.zeros(np.broadcast_shapes(above.shape, below.shape))
    np.divide(above, below, out=ratio, where=below != 0)
    return ratio
