"""The checked rows of a table: texts and class numbers, and where each row came from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from trainable.data.reading.raw_table import RawTable

Key = tuple[str, str | None]


@dataclass(frozen=True)
class Table:
    """The rows of one split: N texts, or pairs of texts, with their classes."""

    text: list[str]
    text_b: list[str] | None
    labels: NDArray[np.int64]
    """(N,), index into the label names."""

    def __len__(self) -> int:
        """N."""
        return len(self.text)

    def take(self, rows: NDArray[np.int64]) -> Table:
        """The given rows (0-based, in that order) as a table of their own."""
        text_b = None if self.text_b is None else [self.text_b[i] for i in rows]
        return Table([self.text[i] for i in rows], text_b, self.labels[rows])

    def keys(self) -> Iterator[Key]:
        """What makes a row's input the same as another's: its text, or both texts of the pair."""
        if self.text_b is None:
            yield from ((text, None) for text in self.text)
        else:
            yield from zip(self.text, self.text_b, strict=True)


@dataclass(frozen=True)
class Origin:
    """A table with the file it was read from and the file's row behind each of its rows."""

    table: Table
    raw: RawTable
    kept: NDArray[np.int64]
    """(N,), 0-based row of the file."""
    lacks: frozenset[int] = frozenset()
    """Classes of the rows that were refused; `EMPTY` or `UNCLEAR` among them where a row has none that is known."""

    def where(self, row: int) -> str:
        """The line or row of the file behind a row of the table."""
        return self.raw.where(int(self.kept[row]))

    def take(self, rows: NDArray[np.int64]) -> Origin:
        """The given rows, still knowing where they came from."""
        return replace(self, table=self.table.take(rows), kept=self.kept[rows])


def overlapping(a: Table, b: Table) -> NDArray[np.int64]:
    """The rows of `b` whose texts stand in `a` too, in order; rows without any text give nothing away."""
    seen = {key for key in a.keys() if any(text and text.strip() for text in key)}  # noqa: SIM118 (no mapping)
    return np.array([row for row, key in enumerate(b.keys()) if key in seen], dtype=np.int64)


def overlap(a: Table, b: Table) -> int:
    """How many rows of `b` have texts that stand in `a` too."""
    return len(overlapping(a, b))
