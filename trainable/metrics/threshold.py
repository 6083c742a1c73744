"""The threshold of a classification with two classes: from which log-odds on the second one is predicted."""

import numpy as np
from numpy.typing import NDArray

from trainable.metrics.classification import scores


def best_cut(margins: NDArray[np.float64], labels: NDArray[np.int64], metric: str) -> float:
    """Return the cut with the best value of a metric on these rows; of equally good cuts the one nearest 0.

    A cut lies in the middle between two neighbouring margins, or is 0.

    Args:
        margins: log-odds of the second class, shape (N,). It is predicted where they are above the cut.
        labels: 0 or 1, shape (N,).
        metric: one of the keys of `scores`; higher is better.
    """
    order = np.argsort(-margins, kind="stable")
    ranked, true = margins[order], labels[order]
    between = np.flatnonzero(ranked[:-1] > ranked[1:])
    cuts = np.append((ranked[between] + ranked[between + 1]) / 2, 0.0)
    above = np.append(between + 1, int((margins > 0).sum()))  # rows that are predicted to be of the second class
    hits = np.append(0, true.cumsum())[above]
    positive = int(true.sum())
    counts = np.empty((len(cuts), 2, 2), dtype=np.int64)
    counts[:, 1, 1], counts[:, 1, 0] = hits, positive - hits
    counts[:, 0, 1] = above - hits
    counts[:, 0, 0] = len(true) - positive - counts[:, 0, 1]
    values = scores(counts)[metric]
    best = cuts[values >= values.max() - 1e-12]
    return float(best[np.abs(best).argmin()])
