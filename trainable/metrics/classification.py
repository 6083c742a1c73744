"""Computes the scores of a classifier from its confusion counts, which makes a bootstrap cheap.

The definitions are those of scikit-learn (`zero_division=0`); a test compares them.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainable.metrics.bootstrap import DRAWS, batches_of_draws, middle_95_percent

BETAS = {"f1": 1.0, "f2": 2.0, "f05": 0.5}
"""Recall counts so many times as much as precision in these F scores (van Rijsbergen 1979)."""


def confusion(labels: NDArray[np.int64], predicted: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """Return counts of shape (C, C): a row for each true label, a column for each predicted one."""
    return np.bincount(labels * classes + predicted, minlength=classes * classes).reshape(classes, classes)


def scores(counts: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
    """Return every metric that needs no probabilities.

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
    # With two classes the score is that of the second one alone, as in scikit-learn; else it is the mean.
    f_beta = {name: _ratio((1 + beta**2) * hits, beta**2 * true + predicted) for name, beta in BETAS.items()}
    of_positive = hits.shape[-1] == 2
    covariance = hits.sum(-1) * total - (true * predicted).sum(-1)
    spread = np.sqrt(total**2 - (predicted**2).sum(-1)) * np.sqrt(total**2 - (true**2).sum(-1))
    return {
        "accuracy": _ratio(hits.sum(-1), total),
        "macro_f1": _ratio((f1 * present).sum(-1), present.sum(-1)),
        "weighted_f1": _ratio((f1 * true).sum(-1), total),
        "macro_precision": _ratio((precision * present).sum(-1), present.sum(-1)),
        "macro_recall": _ratio((recall * present).sum(-1), present.sum(-1)),
        "balanced_accuracy": _ratio(recall.sum(-1), (true > 0).sum(-1)),
        "mcc": _ratio(covariance, spread),
        **{n: f[..., 1] if of_positive else _ratio((f * present).sum(-1), present.sum(-1)) for n, f in f_beta.items()},
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
    predicted: int | None = None
    """Examples for which the class was predicted; None in outcomes of older versions."""


def per_class(counts: NDArray[np.int64], names: tuple[str, ...]) -> list[ClassScores]:
    """Return the scores of each class, in the order of the names."""
    hits, true, predicted = np.diagonal(counts), counts.sum(1), counts.sum(0)
    columns = zip(
        names,
        _ratio(hits, predicted),
        _ratio(hits, true),
        _ratio(2 * hits, true + predicted),
        true,
        predicted,
        strict=True,
    )
    return [ClassScores(name, float(p), float(r), float(f), int(n), int(k)) for name, p, r, f, n, k in columns]


def bootstrap_interval(
    counts: NDArray[np.int64], metric: str, seed: int = 0, draws: int = DRAWS
) -> tuple[float, float]:
    """Return a 95 % percentile interval of a metric over resampled rows (Efron & Tibshirani 1993, chapter 13).

    Resampling rows with replacement is a multinomial draw over the cells of the confusion table.
    """
    total = int(counts.sum())
    shares = (counts / total).ravel()
    # Empty cells stay empty. The last cell is always drawn: it gets the remainder of rounding.
    drawn = np.flatnonzero(np.append(shares[:-1] > 0, True))
    generator = np.random.default_rng(seed)
    values = []
    for size in batches_of_draws(draws, counts.size):
        resampled = np.zeros((size, counts.size), dtype=np.int64)
        resampled[:, drawn] = generator.multinomial(total, shares[drawn], size=size)
        values.append(scores(resampled.reshape(size, *counts.shape))[metric])
    return middle_95_percent(values)


def paired_interval(
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    labels: NDArray[np.int64],
    classes: int,
    metric: str,
    seed: int = 0,
    draws: int = DRAWS,
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
    for size in batches_of_draws(draws, max(rows, classes * classes)):
        chosen = generator.integers(rows, size=(size, rows))
        counts = [np.stack([np.bincount(of[row], minlength=classes**2) for row in chosen]) for of in cells]
        of_first, of_second = (scores(each.reshape(size, classes, classes))[metric] for each in counts)
        values.append(of_first - of_second)
    return middle_95_percent(values)


def _ratio(above: NDArray[Any], below: NDArray[Any]) -> NDArray[np.float64]:
    """Return the quotient; it is 0 wherever `below` is 0."""
    above, below = np.asarray(above, dtype=np.float64), np.asarray(below, dtype=np.float64)
    ratio: NDArray[np.float64] = np.zeros(np.broadcast_shapes(above.shape, below.shape))
    np.divide(above, below, out=ratio, where=below != 0)
    return ratio
