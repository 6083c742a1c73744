"""Reads CSV and JSON lines strictly: types are never inferred, and a mistake is named by its line."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trainable.errors import ConfigError
from trainable.raw import RawTable, check_columns


def _decoded(path: Path, name: str) -> str:
    data = path.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigError(
            f"{name}: line {line}: byte 0x{error.object[error.start]:02x} is not UTF-8; save the file as UTF-8"
        ) from None
    if "\0" in text:
        raise ConfigError(
            f"{name}: line {text[: text.index(chr(0))].count(chr(10)) + 1}: a NUL byte; is this a text file in UTF-8?"
        )
    if not text.strip():
        raise ConfigError(f"{name}: the file is empty")
    return text


def read_csv(path: Path, name: str) -> RawTable:
    """Read a CSV file, or a TSV file by its suffix; every cell stays the string that stands there.

    Raises:
        ConfigError: with the line of the first mistake.
    """
    # Neither pandas (under `datasets`) nor pyarrow tells the line of a ragged row, and both infer types.
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    csv.field_size_limit(2**31 - 1)  # else an unclosed quote in a large file is reported as a long cell
    reader = csv.reader(io.StringIO(_decoded(path, name), newline=""), delimiter=delimiter, strict=True)
    records: list[list[str]] = []
    lines: list[int] = []
    start = 1
    try:
        for record in reader:
            if record:  # a blank line gives no cells
                records.append(record)
                lines.append(start)
            start = reader.line_num + 1
    except csv.Error as error:
        raise ConfigError(
            f'{name}: line {start}: {error}; is a quote not closed, or not doubled inside a quoted cell ("")?'
        ) from None
    return _table_of(records, lines, name, delimiter)


def _table_of(records: list[list[str]], lines: list[int], name: str, delimiter: str) -> RawTable:
    header, rows = records[0], records[1:]
    check_columns(header, f"{name}: line {lines[0]}")
    ragged = [i for i, row in enumerate(rows) if len(row) != len(header)]
    if ragged:
        raise ConfigError(
            f"{name}: line {lines[ragged[0] + 1]}: {len(rows[ragged[0]])} cells where the header has {len(header)} "
            f"({', '.join(header):.80}); {_count(ragged, 'such row')} in all; "
            f"a cell that holds {'a tab' if delimiter != ',' else 'a comma'} or a line break needs quotes"
        )
    if not rows:
        raise ConfigError(f"{name}: there is a header ({', '.join(header):.80}) and no row below it")
    cells = [list(column) for column in zip(*rows, strict=True)]
    return RawTable(name, dict(zip(header, cells, strict=True)), len(rows), lines[1:])


def read_json(path: Path, name: str) -> RawTable:
    """Read a file with one JSON object a line; a key that an object lacks is an empty cell.

    Raises:
        ConfigError: with the first line that is none, and how many such lines there are.
    """
    records: list[dict[str, Any]] = []
    lines: list[int] = []
    wrong: list[str] = []
    for number, line in enumerate(io.StringIO(_decoded(path, name)), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line, object_pairs_hook=_object)
        except (ValueError, RecursionError) as error:
            wrong.append(f"line {number}: no JSON object ({error!s:.200})")
            continue
        if isinstance(record, dict):
            records.append(record)
            lines.append(number)
        else:
            wrong.append(f"line {number}: a JSON {type(record).__name__}, not an object")
    if wrong:
        raise ConfigError(
            f"{name}: {wrong[0]}; {_count(wrong, 'such line')} in all; "
            'every line must hold one object such as {"text": "...", "label": "..."}'
        )
    names = list(dict.fromkeys(key for record in records for key in record))
    check_columns(names, name)
    return RawTable(name, {key: [r.get(key) for r in records] for key in names}, len(records), lines)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object whose names are all different; of two values one would be lost in silence."""
    record = dict(pairs)
    if len(record) < len(pairs):
        twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise ValueError(f"the name {twice!r:.80} stands there twice")
    return record


def _count(items: Sequence[object], noun: str) -> str:
    return f"{len(items)} {noun}{'' if len(items) == 1 else 's'}"
