"""Splits rows by a seed: every class occurs in every part, and no text is in two parts."""

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
    pairs: Sequence[TextPair], labels: NDArray[np.int64], fractions: Sequence[float], seed: int
) -> list[NDArray[np.int64]]:
    """Split rows so that rows with the same text stay together; for the arguments see `assign_parts`.

    Returns:
        The rows of the remainder, then those of each held-out part, each in ascending order.
    """
    text_of_row, first = number_texts(pairs)
    parts = assign_parts(labels[first], fractions, seed)[text_of_row]
    return [np.flatnonzero(parts == part) for part in range(len(fractions) + 1)]
