"""Chooses the training rows that `train_rows` asks for, and says what the choice leaves of each class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from trainable.data.message_text import first_few
from trainable.errors import ConfigError
from trainable.settings.stage import PerClass


def subset(labels: NDArray[np.int64], rows: int | PerClass | None, seed: int) -> NDArray[np.int64]:
    """Choose training rows. With the same seed, a smaller choice is contained in every larger one of the same kind.

    For a number, one row of every class is chosen first, then rows of each class in proportion.

    Args:
        labels: class of each row, shape (N,).
        rows: number of rows to choose, or number for each class, of which a class may have fewer; None means all.
        seed: decides which rows are chosen.

    Returns:
        The chosen rows, ascending.

    Raises:
        ConfigError: if there are fewer rows than the number.
    """
    if rows is None:
        return np.arange(len(labels))
    if isinstance(rows, int) and rows > len(labels):
        raise ConfigError(f"train_rows: {rows} is more than the {len(labels)} training rows; lower it")
    rng = np.random.default_rng(seed)
    place = np.empty(len(labels), dtype=np.int64)  # of a row among the rows of its class, in random order
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        place[members] = np.arange(len(members))
    if isinstance(rows, PerClass):
        return np.flatnonzero(place < rows.per_class)
    chosen_from_fraction = (place + 0.5) / np.bincount(labels)[labels]  # in every subset above this share of all rows
    chosen_from_fraction[place == 0] = -1  # first, one row of each class
    order = np.lexsort((rng.random(len(labels)), chosen_from_fraction))
    return np.sort(order[:rows])


def subset_notes(
    labels: NDArray[np.int64], names: Sequence[str], rows: int | PerClass | None, seed: int
) -> Iterator[str]:
    """Yield what a person should know of the chosen rows: how many they are, and which classes have few of them.

    Args:
        labels: class of each training row, shape (N,); a class without any row is not reported.
        names: label names, in the order of the class numbers.
        rows: see `subset`.
        seed: see `subset`.
    """
    present = np.unique(labels).tolist()
    counts = np.bincount(labels[subset(labels, rows, seed)], minlength=len(names))
    of_classes = f"of {len(present)} classes"
    listed = sorted(present, key=lambda label: int(counts[label]))
    if isinstance(rows, PerClass):
        few = {names[label]: int(counts[label]) for label in listed if counts[label] < rows.per_class}
        fewer = f"; {len(few)} {of_classes} have fewer and give all: {first_few(few)}" if few else ""
        yield (
            f"train_rows: {{per_class: {rows.per_class}}} takes {counts.sum()} of {len(labels)} training rows{fewer}"
        )
        return
    few = {names[label]: int(counts[label]) for label in listed if counts[label] < 2}
    if not few:
        return
    if rows is None:
        yield f"{len(few)} {of_classes} have one training row: {first_few(few)}"
        return
    yield (
        f"train_rows: {rows} leaves {len(few)} {of_classes} with one training row or none: {first_few(few)}; "
        f"`train_rows: {{per_class: N}}` takes N rows of each class"
    )
