"""Tells quoted cells of several lines from rows that a stray quote has joined."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

_NUMBER = re.compile(r"-?\d+(\.\d+)?")


class _Column(NamedTuple):
    """What stands in a column, cells with line breaks and empty ones left out."""

    values: set[str]
    numbers: bool

    def fits(self, cell: str) -> bool:
        return cell in self.values or (self.numbers and _NUMBER.fullmatch(cell) is not None)


class Record(NamedTuple):
    """One row of a CSV file, the header too, and the lines (1-based) from and to which it stands there."""

    cells: list[str]
    first: int
    last: int


def why_suspicious(records: Sequence[Record], lines: Sequence[str], separator: str) -> tuple[Record, str] | None:
    """Look for a record of several lines that seems to be several rows.

    Somebody's text may have line breaks. Two things speak against it: a line within the cell reads like a row of this
    table, or quotes stand elsewhere in the middle of a cell, where a program that quotes cells would have doubled them.

    Returns:
        the first such record, and what speaks against it; none where nothing does.
    """
    long = [record for record in records if record.last > record.first]
    if not long:
        return None
    columns = [_column(records[1:], place) for place in range(len(records[0].cells))]
    for record in long:
        for line in _like_rows(record, lines, separator, columns):
            return record, f"line {line} reads like a row of its own"
    stray = _stray_quote(records, lines, separator)
    return (long[0], f"line {stray} has a quote inside a cell that is not quoted") if stray else None


def _column(rows: Sequence[Record], place: int) -> _Column:
    cells = (row.cells[place] for row in rows if len(row.cells) > place)
    values = {cell for cell in cells if cell and not _is_long(cell)}
    return _Column(values, bool(values) and all(map(_NUMBER.fullmatch, values)))


def _like_rows(record: Record, lines: Sequence[str], separator: str, columns: Sequence[_Column]) -> Iterator[int]:
    """Lines of a record that have the table's number of cells and fit into its columns."""
    broken = [column for column, cell in enumerate(record.cells) if _is_long(cell)]
    for number in range(record.first, record.last + 1):
        cells = lines[number - 1].rstrip("\r\n").split(separator)
        # The record's own cells before the quoted one stand on its first line, those behind it on its last.
        before = range(broken[0]) if number > record.first else ()
        behind = range(broken[-1] + 1, len(columns)) if number < record.last else ()
        swallowed = (*before, *behind)
        if len(cells) != len(columns) or not swallowed:
            continue
        # A tab or pipe is rare in prose, so that the right number of them says enough.
        if separator not in ",; " or any(columns[i].fits(cells[i]) for i in swallowed):
            yield number


def _stray_quote(records: Sequence[Record], lines: Sequence[str], separator: str) -> int | None:
    """The first line with a quote in the middle of a cell that does not begin with one."""
    plain = rf'[^"{re.escape(separator)}\r\n]*+'
    cell = rf'(?:"(?:[^"]++|"")*+"|{plain})'
    row = re.compile(rf"{cell}(?:{re.escape(separator)}{cell})*+[\r\n]*")
    for record in records:
        if record.first == record.last and '"' in (line := lines[record.first - 1]) and not row.fullmatch(line):
            return record.first
    return None


def _is_long(cell: str) -> bool:
    return "\n" in cell or "\r" in cell
