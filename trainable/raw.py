"""The cells of a table as they were read, before anything is checked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa


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

    def where(self, row: int) -> str:
        """Where a row (0-based) stands, as a user counts."""
        return f"line {self.lines[row]}" if self.lines else f"row {row + 1}"

    def cells(self, column: str, named: bool = False) -> list[Any]:
        """The values of a column; class numbers as names if `named`."""
        stored = self.columns[column]
        values = stored if isinstance(stored, list) else stored.to_pylist()
        names = self.class_names.get(column)
        if not named or names is None:
            return values
        return [names[v] if isinstance(v, int) and 0 <= v < len(names) else v for v in values]
