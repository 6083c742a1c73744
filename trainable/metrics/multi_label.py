"""The scores of rows that have any number of labels each. A test compares them with scikit-learn.

Every score takes the outputs of N rows for C labels, shape (N, C), above 0 where a label is given; the true labels of
the same shape, 0 or 1; and how often each row counts in each of D resampled sets of rows, shape (D, N). It gives (D,).
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainable.metrics.classification import ClassScores

Values = NDArray[Any]


def counts(outputs: Values, labels: Values, times: Values) -> tuple[Values, Values, Values]:
    """Return the rows of each label that are right, given and true, each of shape (D, C)."""
    given, true = (outputs > 0).astype(np.float64), labels.astype(np.float64)
    return times @ (given * true), times @ given, times @ true


def _micro_f1(outputs: Values, labels: Values, times: Values) -> Values:
    hits, given, true = (each.sum(-1) for each in counts(outputs, labels, times))
    return _ratio(2 * hits, given + true)


def _mean_label_f1(outputs: Values, labels: Values, times: Values) -> Values:
    hits, given, true = counts(outputs, labels, times)
    return np.asarray(_ratio(2 * hits, given + true).mean(-1))


def _subset_accuracy(outputs: Values, labels: Values, times: Values) -> Values:
    exact = ((outputs > 0) == (labels > 0)).all(-1)
    return np.asarray(times @ exact.astype(np.float64) / times.sum(-1))


def _mean_average_precision(outputs: Values, labels: Values, times: Values) -> Values:
    """Return the mean over the labels that occur; 0 if none does."""
    columns = [_average_precision(outputs[:, c], labels[:, c], times) for c in range(labels.shape[1])]
    found = np.stack(columns, -1)
    return _ratio(np.nansum(found, -1), np.isfinite(found).sum(-1))


def _average_precision(outputs: Values, labels: Values, times: Values) -> Values:
    """Return the average precision of one label, shape (D,); NaN where no row has it."""
    order = np.argsort(-outputs, kind="stable")
    ranked = -outputs[order]
    last = np.searchsorted(ranked, ranked, side="right") - 1  # equal outputs have one precision
    found, seen = (times * labels)[:, order], times[:, order]
    precision = _ratio(found.cumsum(-1)[:, last], seen.cumsum(-1)[:, last])
    total = found.sum(-1)
    return np.where(total > 0, _ratio((found * precision).sum(-1), total), np.nan)


SCORES: dict[str, Callable[[Values, Values, Values], Values]] = {
    "micro_f1": _micro_f1,
    "mean_label_f1": _mean_label_f1,
    "subset_accuracy": _subset_accuracy,
    "map": _mean_average_precision,
}


def per_label(outputs: Values, labels: Values, names: tuple[str, ...]) -> list[ClassScores]:
    """Return the scores of each label, in the order of the names."""
    hits, given, true = (each[0] for each in counts(outputs, labels, np.ones((1, len(labels)))))
    columns = zip(
        names, _ratio(hits, given), _ratio(hits, true), _ratio(2 * hits, given + true), true, given, strict=True
    )
    return [ClassScores(name, float(p), float(r), float(f), int(n), int(k)) for name, p, r, f, n, k in columns]


def best_cut(outputs: Values, labels: Values) -> float:
    """Return the output from which on a label is given, for all labels the same, with the best micro F1 on these rows.

    One for each label would fit the chance of a label's few rows (Lipton et al. 2014, "Thresholding classifiers to
    maximize F1 score"); one for all rests on every row and label.
    """
    order = np.argsort(-outputs, axis=None)
    ranked, true = outputs.ravel()[order], labels.ravel()[order]
    if not true.any():
        return 0.0
    f1 = 2 * true.cumsum() / (np.arange(1, len(true) + 1) + true.sum())
    f1[:-1][ranked[:-1] == ranked[1:]] = 0.0  # no cut is possible between equal outputs
    best = int(f1.argmax())
    below = ranked[best + 1] if best + 1 < len(ranked) else ranked[best] - 1.0
    return float(np.clip((ranked[best] + below) / 2, -3.0, 3.0))


def _ratio(above: Values, below: Values) -> Values:
    """Return the quotient; it is 0 wherever `below` is 0."""
    ratio: Values = np.zeros(np.broadcast_shapes(above.shape, below.shape))
    np.divide(above, below, out=ratio, where=below != 0)
    return ratio
