"""Holds the cells of a table as they were read, before any check."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from trainable.errors import ConfigError

MAX_COLUMNS = 4096
"""A file with more columns is no table: its separator is wrong, or its column names are data."""


@dataclass(frozen=True)
class RawTable:
    """The unchecked cells of one file or one saved split."""

    source: str
    """The file's name as the user wrote it. Messages begin with it."""
    columns: dict[str, list[Any] | pa.ChunkedArray]
    rows: int
    lines: list[int] | None = None
    """1-based line on which each row of the file begins, if the file has lines."""
    class_names: dict[str, list[str]] = field(default_factory=dict)
    """The names of the classes, for columns that hold class numbers."""
    notes: tuple[str, ...] = ()
    """Facts about the file that the user should know and that are no mistakes. Each begins with the file's name."""
    file_rows: NDArray[np.int64] | None = None
    """(rows,), 0-based row of the file for each row. None: all rows of the file are here."""
    row_names: list[str] | None = None
    """What messages call each row of the file, in the place of its number; None: its line or number."""
    folder: Path | None = None
    """The folder to which paths in the cells are relative; None if the table has none of its own."""

    def position(self, row: int) -> str:
        """Return the line or row of the file for a row (0-based), counted from 1, such as `line 7`."""
        row = row if self.file_rows is None else int(self.file_rows[row])
        if self.row_names:
            return self.row_names[row]
        return f"line {self.lines[row]}" if self.lines else f"row {row + 1}"

    def take(self, rows: NDArray[np.int64]) -> RawTable:
        """Return only the given rows (0-based) with their positions in the file; this table must have all its rows."""
        columns = {
            name: [cells[row] for row in rows] if isinstance(cells, list) else cells.take(pa.array(rows))
            for name, cells in self.columns.items()
        }
        return replace(self, columns=columns, rows=len(rows), file_rows=rows)

    def cells(self, column: str, named: bool = False) -> list[Any]:
        """Return the values of a column.

        Args:
            column: its name.
            named: whether to replace class numbers by class names, where the file has these.

        Raises:
            ConfigError: if Python cannot represent a value.
        """
        stored = self.columns[column]
        try:
            values = stored if isinstance(stored, list) else stored.to_pylist()
        except (ValueError, OverflowError) as error:  # such as a date beyond Python's calendar
            raise ConfigError(f"{self.source}: column {column!r:.80} cannot be read: {error!s:.200}") from None
        names = self.class_names.get(column)
        if not named or names is None:
            return values
        return [names[v] if isinstance(v, int) and 0 <= v < len(names) else v for v in values]


def check_column_names(names: Sequence[str], prefix: str) -> None:
    """Refuse column names that occur twice, and more than `MAX_COLUMNS` columns.

    Raises:
        ConfigError: with a sentence that begins with `prefix`.
    """
    if len(names) > MAX_COLUMNS:
        raise ConfigError(f"{prefix}: more than {MAX_COLUMNS} columns; is this a table, with the right separator?")
    for name, count in Counter(names).items():
        if count > 1:
            raise ConfigError(f"{prefix}: the column {name!r:.80} occurs {count} times; rename or remove one")


def is_encodable(text: str) -> bool:
    """Return whether text can be encoded, that is, has no half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
