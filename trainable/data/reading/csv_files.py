"""Reads CSV files strictly: cells stay strings, no row is lost, and messages name the line of a mistake."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import pyarrow as pa

from trainable.data.message_text import plural
from trainable.data.reading.csv_quotes import Record, find_joined_rows
from trainable.data.reading.csv_separators import find_better_separator
from trainable.data.reading.raw_table import RawTable, check_column_names
from trainable.errors import ConfigError
from trainable.settings.dataset import SEPARATORS

_LINE = re.compile(r"[^\r\n]*(?:\r\n?|\n)|[^\r\n]+")


def read_csv(text: str, name: str, separator: str | None = None, quoting: str | None = None) -> RawTable:
    """Read the text of a CSV file; every cell is the string that the file has.

    Args:
        text: the file's text, with a header line.
        name: the file's name as the user wrote it.
        separator: the character between cells. None: a tab for names that end in .tsv, otherwise a comma.
        quoting: `double` or `none`, see `Dataset.quoting`. None: like `double`, but quotes that seem to join rows are
            an error.

    Raises:
        ConfigError: with the line of the first mistake.
    """
    # pandas (used by `datasets`) and pyarrow infer types and do not report the line of a ragged row.
    lines = _LINE.findall(text)
    csv.field_size_limit(2**31 - 1)  # with the default, `csv` reports an unclosed quote in a large file as a long cell
    used = separator or ("\t" if name.lower().endswith(".tsv") else ",")
    if separator is None and (other := find_better_separator(lines, used)):
        raise ConfigError(
            f"{name}: the separator looks like {SEPARATORS[other]!r}, not {used!r}; the first line is "
            f"{lines[0].strip()!r:.80}; set `separator: {other}`"
        )
    all_records = list(_records(lines, name, used, quoting))
    records = [record for record in all_records if record.cells]  # a blank line has no cells
    _check_line_ends(records, lines, name)
    header, rows = records[0], records[1:]
    check_column_names(header.cells, f"{name}: line {header.first}")
    if quoting is None and (found := find_joined_rows(records, lines, used)):
        raise ConfigError(_joined_rows(name, *found))
    _check_ragged(header, rows, name, used, quoting)
    if not rows:
        raise ConfigError(f"{name}: there is a header ({', '.join(header.cells):.80}) and no row below it")
    cells = [list(column) for column in zip(*(row.cells for row in rows), strict=True)]
    columns: dict[str, list[Any] | pa.ChunkedArray] = dict(zip(header.cells, cells, strict=True))
    return RawTable(name, columns, len(rows), [row.first for row in rows], notes=tuple(_notes(all_records, name)))


def _records(lines: Sequence[str], name: str, separator: str, quoting: str | None) -> Iterator[Record]:
    quotes: Literal[0, 3] = csv.QUOTE_NONE if quoting == "none" else csv.QUOTE_MINIMAL
    reader = csv.reader(lines, delimiter=separator, quoting=quotes, strict=True)
    first = 1
    try:
        for cells in reader:
            yield Record(cells, first, reader.line_num)
            first = reader.line_num + 1
    except csv.Error as error:
        over = f" (the row runs over lines {first} to {reader.line_num})" if reader.line_num > first else ""
        raise ConfigError(
            f'{name}: line {first}: {error}{over}; is a quote not closed, or not doubled inside a quoted cell ("")? '
            "`quoting: none` reads quotes as characters"
        ) from None


def _joined_rows(name: str, record: Record, reason: str) -> str:
    return (
        f"{name}: line {record.first}: a quoted cell runs from here to line {record.last}, yet {reason}; are these "
        "several rows? set `quoting: none` if quotes are characters like any other, `quoting: double` if it is one row"
    )


def _check_line_ends(records: Sequence[Record], lines: Sequence[str], name: str) -> None:
    """Refuse a mix of rows that end in a carriage return and rows that do not.

    pandas writes a cell with a carriage return without quotes, so such a return may be part of a cell.
    """
    ends = [lines[record.last - 1][-1] for record in records]
    if "\r" in ends and "\n" in ends:
        line = records[ends.index("\r")].last
        raise ConfigError(
            f"{name}: line {line}: ends in a carriage return, other lines in a line feed; if it belongs to a cell, "
            "put the cell in quotes"
        )


def _check_ragged(header: Record, rows: Sequence[Record], name: str, separator: str, quoting: str | None) -> None:
    width = len(header.cells)
    ragged = [row for row in rows if len(row.cells) != width]
    if not ragged:
        return
    first, what = ragged[0], {",": "a comma", "\t": "a tab"}.get(separator, repr(separator))
    over = f" in a row that ends on line {first.last}" if first.has_several_lines() else ""
    advice = f"with `quoting: none` no cell can hold {what} or a line break"
    if quoting != "none":
        advice = f"a cell that holds {what} or a line break needs quotes; `quoting: none` reads quotes as characters"
    raise ConfigError(
        f"{name}: line {first.first}: {len(first.cells)} cells{over} where the header has {width} "
        f"({', '.join(header.cells):.80}); {plural(len(ragged), 'such row')} in all; {advice}"
    )


def _notes(records: Sequence[Record], name: str) -> Iterator[str]:
    if long := [record for record in records if record.has_several_lines()]:
        yield (
            f"{name}: {plural(len(long), 'row')} with a quoted cell of several lines, "
            f"the first on lines {long[0].first} to {long[0].last}"
        )
    last = max(record.first for record in records if record.cells)
    if blank := [record for record in records if not record.cells and record.first < last]:
        yield f"{name}: {plural(len(blank), 'blank line')} left out, the first is line {blank[0].first}"
