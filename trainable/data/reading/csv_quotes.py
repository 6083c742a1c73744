"""Finds rows that a stray quote joined by mistake, and tells them from real cells with line breaks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

_NUMBER = re.compile(r"-?\d+(\.\d+)?")


class _Column(NamedTuple):
    """The values of a column, without empty cells and cells with line breaks."""

    values: set[str]
    all_numbers: bool

    def fits(self, cell: str) -> bool:
        return cell in self.values or (self.all_numbers and _NUMBER.fullmatch(cell) is not None)


class Record(NamedTuple):
    """One row of a CSV file (or its header), with its first and last line (1-based)."""

    cells: list[str]
    first: int
    last: int

    def has_several_lines(self) -> bool:
        """Return whether a cell of the row has line breaks."""
        return self.last > self.first


def find_joined_rows(records: Sequence[Record], lines: Sequence[str], separator: str) -> tuple[Record, str] | None:
    """Find a record with several lines that seems to be several rows.

    Texts may have line breaks. Two signs show that a record is several rows instead: one of its lines looks like a
    row of this table, or the file has a quote in the middle of an unquoted cell (programs that quote cells would
    quote this cell and double the quote).

    Returns:
        The first such record, and the reason; None if there is no sign.
    """
    long = [record for record in records if record.has_several_lines()]
    if not long:
        return None
    columns = [_column(records[1:], index) for index in range(len(records[0].cells))]
    for record in long:
        for line in _lines_like_rows(record, lines, separator, columns):
            return record, f"line {line} reads like a row of its own"
    stray = _stray_quote(records, lines, separator)
    return (long[0], f"line {stray} has a quote inside a cell that is not quoted") if stray else None


def _column(rows: Sequence[Record], index: int) -> _Column:
    cells = (row.cells[index] for row in rows if len(row.cells) > index)
    values = {cell for cell in cells if cell and not _has_line_break(cell)}
    return _Column(values, bool(values) and all(map(_NUMBER.fullmatch, values)))


def _lines_like_rows(record: Record, lines: Sequence[str], separator: str, columns: Sequence[_Column]) -> Iterator[int]:
    """Yield the lines of a record that have as many cells as the table, with values that fit its columns."""
    with_break = [column for column, cell in enumerate(record.cells) if _has_line_break(cell)]
    for number in range(record.first, record.last + 1):
        cells = lines[number - 1].rstrip("\r\n").split(separator)
        # A real record has its cells before the quoted one on its first line, and those after it on its last line.
        # Such cells on other lines show that the line may be a row.
        before = range(with_break[0]) if number > record.first else ()
        after = range(with_break[-1] + 1, len(columns)) if number < record.last else ()
        unexpected = (*before, *after)
        if separator == ";" and unexpected and len(cells) > len(columns):
            # The text has semicolons too, so only the cells before and after it are compared, with known values.
            of_column = {i: cells[i] for i in before} | {i: cells[i - len(columns)] for i in after}
            if all(cell in columns[i].values for i, cell in of_column.items()):
                yield number
        if len(cells) != len(columns) or not unexpected:
            continue
        # Tabs and pipes are rare in prose: the right number of them is enough.
        if separator not in ",; " or any(columns[i].fits(cells[i]) for i in unexpected):
            yield number


def _stray_quote(records: Sequence[Record], lines: Sequence[str], separator: str) -> int | None:
    """Return the first line with a quote in the middle of a cell that does not begin with a quote."""
    plain = rf'[^"{re.escape(separator)}\r\n]*+'
    cell = rf'(?:"(?:[^"]++|"")*+"|{plain})'
    row = re.compile(rf"{cell}(?:{re.escape(separator)}{cell})*+[\r\n]*")
    for record in records:
        if not record.has_several_lines() and '"' in (line := lines[record.first - 1]) and not row.fullmatch(line):
            return record.first
    return None


def _has_line_break(cell: str) -> bool:
    return "\n" in cell or "\r" in cell
