"""Rows whose given label is probably wrong, by confident learning (Northcutt, Jiang & Chuang 2021, section 3)."""

import numpy as np
from numpy.typing import NDArray


def likely_label_errors(chances: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which rows the model confidently puts into another class than their label says, shape (N,).

    A row belongs confidently to a class if its probability is at least the mean probability of that class among the
    rows with that label. Of several such classes the most probable one counts.

    Args:
        chances: probability of each class, from a model that was not trained on these rows, shape (N, C).
        labels: given class of each row, shape (N,).
    """
    own = chances[np.arange(len(labels)), labels]  # the "self-confidence" of each row, (N,)
    rows = np.bincount(labels, minlength=chances.shape[1])  # (C,)
    # No row can belong confidently to a class without rows.
    least = np.where(rows > 0, np.bincount(labels, own, chances.shape[1]) / np.maximum(rows, 1), np.inf)
    confident = np.where(chances >= least, chances, -np.inf)
    best = confident.argmax(1)
    return np.asarray(np.isfinite(confident.max(1)) & (best != labels))
