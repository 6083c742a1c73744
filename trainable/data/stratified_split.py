"""Splits rows by a seed: every class occurs in every part, and no text or group is in two parts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from trainable.data.examples import TextPair


def number_texts(pairs: Sequence[TextPair]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Number the distinct texts in order of appearance.

    Returns:
        (N,) the number of each row's text, and (G,) the first row of each of the G distinct texts.
    """
    numbers: dict[TextPair, int] = {}
    text_of_row = np.array([numbers.setdefault(pair, len(numbers)) for pair in pairs], dtype=np.int64)
    _, first = np.unique(text_of_row, return_index=True)
    return text_of_row, first.astype(np.int64)


def assign_parts(labels: NDArray[np.int64], fractions: Sequence[float], seed: int) -> NDArray[np.int64]:
    """Assign items, stratified by class, to held-out parts 1, 2... and a remainder (part 0).

    Each part gets its share of each class, but at least one item. Shares are rounded so that the totals stay right. A
    class with fewer items than parts fills the remainder first. scikit-learn's stratified splitters refuse such small
    classes and parts.

    Args:
        labels: (G,) class of each item.
        fractions: share of each held-out part; their sum is below 1.
        seed: decides which items go where.

    Returns:
        (G,) part of each item.
    """
    parts = np.zeros(len(labels), dtype=np.int64)
    rng = np.random.default_rng(seed)
    before = 0
    for label in np.unique(labels):
        items = rng.permutation(np.flatnonzero(labels == label))
        after = before + len(items)
        end = len(items)
        for part, fraction in enumerate(fractions, start=1):
            share = max(1, round(after * fraction) - round(before * fraction))
            start = max(end - share, len(fractions) - part + 1)  # leave one item for each part that is still empty
            parts[items[start:end]] = part
            end = min(start, end)
        before = after
    return parts


def split_rows(
    pairs: Sequence[TextPair],
    labels: NDArray[np.int64],
    fractions: Sequence[float],
    seed: int,
    groups: NDArray[np.int64] | None = None,
) -> list[NDArray[np.int64]]:
    """Split rows so that rows with the same text or group stay together; for the other arguments see `assign_parts`.

    A group counts as one item of the class of its first row.

    Args:
        pairs: the texts of each row.
        labels: (N,) class of each row.
        fractions: see `assign_parts`.
        seed: see `assign_parts`.
        groups: (N,) number of each row's group; None if rows have none.

    Returns:
        The rows of the remainder, then those of each held-out part, each in ascending order.
    """
    item_of_row, first = number_texts(pairs)
    if groups is not None:
        item_of_row, first = _joined(item_of_row, groups)
    parts = assign_parts(labels[first], fractions, seed)[item_of_row]
    return [np.flatnonzero(parts == part) for part in range(len(fractions) + 1)]


def _joined(texts: NDArray[np.int64], groups: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Number the sets of rows that texts or groups connect, as `number_texts` does with texts alone."""
    from scipy.sparse import coo_array  # takes a second, and few data sets have groups
    from scipy.sparse.csgraph import connected_components

    count = int(texts.max()) + 1
    edges = coo_array((np.ones(len(texts)), (texts, groups + count)), shape=(count + groups.max() + 1,) * 2)
    _, component = connected_components(edges, directed=False)
    _, first, of_row = np.unique(component[texts], return_index=True, return_inverse=True)
    return of_row.astype(np.int64), first.astype(np.int64)
