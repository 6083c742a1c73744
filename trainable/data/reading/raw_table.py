"""The cells of a table as they were read, before anything is checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from trainable.errors import ConfigError

MAX_COLUMNS = 4096
"""What has more is no table: a wrong separator, or names that are data."""


@dataclass(frozen=True)
class RawTable:
    """The cells of one file or saved split as they were read, not yet checked."""

    source: str
    """The file's name as the user wrote it; messages begin with it."""
    columns: dict[str, list[Any] | pa.ChunkedArray]
    rows: int
    lines: list[int] | None = None
    """1-based line on which each row begins, where the file has lines."""
    class_names: dict[str, list[str]] = field(default_factory=dict)
    """For columns that hold class numbers: the name of each."""
    notes: tuple[str, ...] = ()
    """What is worth knowing of the file and no error; each begins with the file's name."""
    kept: NDArray[np.int64] | None = None
    """(rows,), 0-based number in the file of each row, where others have been left out."""

    def where(self, row: int) -> str:
        """Where a row (0-based) stands, as a user counts."""
        row = row if self.kept is None else int(self.kept[row])
        return f"line {self.lines[row]}" if self.lines else f"row {row + 1}"

    def take(self, rows: NDArray[np.int64]) -> RawTable:
        """The given rows (0-based, of a table that is whole), still knowing where they stood."""
        columns = {
            name: [cells[row] for row in rows] if isinstance(cells, list) else cells.take(pa.array(rows))
            for name, cells in self.columns.items()
        }
        return replace(self, columns=columns, rows=len(rows), kept=rows)

    def cells(self, column: str, named: bool = False) -> list[Any]:
        """The values of a column; class numbers as names if `named`."""
        stored = self.columns[column]
        try:
            values = stored if isinstance(stored, list) else stored.to_pylist()
        except (ValueError, OverflowError) as error:  # such as a date beyond Python's calendar
            raise ConfigError(f"{self.source}: column {column!r:.80} cannot be read: {error!s:.200}") from None
        names = self.class_names.get(column)
        if not named or names is None:
            return values
        return [names[v] if isinstance(v, int) and 0 <= v < len(names) else v for v in values]


def check_columns(names: Sequence[str], where: str) -> None:
    """Refuse names of columns that are repeated or far too many.

    Raises:
        ConfigError: whose sentence begins with `where`.
    """
    if len(names) > MAX_COLUMNS:
        raise ConfigError(f"{where}: more than {MAX_COLUMNS} columns; is this a table, with the right separator?")
    for name, count in Counter(names).items():
        if count > 1:
            raise ConfigError(f"{where}: the column {name!r:.80} stands there {count} times; rename or remove one")


def counted(items: Sequence[object], noun: str) -> str:
    """How many there are, such as `2 rows`."""
    return f"{len(items)} {noun}{'' if len(items) == 1 else 's'}"


def is_unicode(text: str) -> bool:
    """Whether text can be encoded: it has no half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
