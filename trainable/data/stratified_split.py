"""Splits a table by seed: every class in every part, and no text in two parts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from trainable.data.examples import Key


def groups(keys: Sequence[Key]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Number the distinct texts in order of appearance.

    Returns:
        (N,) the number of each row's text, and (G,) the first row of each distinct text.
    """
    numbers: dict[Key, int] = {}
    of_row = np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)
    _, first = np.unique(of_row, return_index=True)
    return of_row, first.astype(np.int64)


def assign(labels: NDArray[np.int64], fractions: Sequence[float], seed: int) -> NDArray[np.int64]:
    """Deal items over a remainder (part 0) and held-out parts 1, 2..., stratified.

    Each class gives each part its share, rounded so that the totals stay right, and at least one item; scikit-learn's
    stratified splitters refuse classes and parts that small. A class with fewer items than parts fills the remainder
    first.

    Args:
        labels: (G,) class of each item.
        fractions: share of each held-out part, together below 1.
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
            start = max(end - share, len(fractions) - part + 1)  # leave one for each part still to be filled
            parts[items[start:end]] = part
            end = min(start, end)
        before = after
    return parts


def split_rows(
    keys: Sequence[Key], labels: NDArray[np.int64], fractions: Sequence[float], seed: int
) -> list[NDArray[np.int64]]:
    """Split rows so that rows of the same text stay together.

    Returns:
        The remainder's rows and those of each held-out part, each ascending.
    """
    of_row, first = groups(keys)
    parts = assign(labels[first], fractions, seed)[of_row]
    return [np.flatnonzero(parts == part) for part in range(len(fractions) + 1)]
