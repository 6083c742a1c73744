"""Groups of rows that belong together, such as those of one customer: no group may be in two splits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from trainable.data.check_results import CheckResults
from trainable.data.examples import LocatedExamples
from trainable.data.message_text import rows_with, shortened
from trainable.data.reading.raw_table import RawTable

Groups = Mapping[str, NDArray[np.int64]]
"""By split, shape (rows,): the number of each row's group, the same in all splits."""


def read_groups(column: str | None, raws: Mapping[str, RawTable], results: CheckResults) -> Groups:
    """Return the groups of the rows; without a column nothing. A row without a group is a mistake."""
    if column is None:
        return {}
    numbers: dict[str, int] = {}
    groups = {}
    for split, raw in raws.items():
        cells = ["" if cell is None or cell != cell else str(cell).strip() for cell in raw.cells(column)]
        groups[split] = np.array([numbers.setdefault(cell, len(numbers)) for cell in cells], dtype=np.int64)
        if empty := [row for row, cell in enumerate(cells) if not cell]:
            results.problems.append(rows_with(raw, empty, f"no group in column {column!r}") + "; fill or remove them")
    return groups


def shared_groups(splits: Mapping[str, LocatedExamples], column: str | None) -> Iterator[str]:
    """Yield a problem for each two splits that have rows of one group."""
    if column is None:
        return
    for (first, a), (second, b) in combinations(splits.items(), 2):
        assert a.examples.groups is not None and b.examples.groups is not None  # the column was read
        rows = np.flatnonzero(np.isin(b.examples.groups, a.examples.groups))
        if len(rows):
            name = shortened(str(b.raw.cells(column)[int(b.raw_rows[rows[0]])]))
            yield (
                f"{b.raw.source}: {len(rows)} of {len(b.examples)} {second} rows belong to groups that {first} has "
                f"too, the first on {b.position(int(rows[0]))}: {name}; move them, or leave `group: {column}` out"
            )
