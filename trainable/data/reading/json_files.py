"""Reads JSON lines and JSON arrays of objects strictly; messages name the line of a mistake."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from trainable.data.message_text import plural
from trainable.data.reading.raw_table import RawTable, check_column_names
from trainable.data.reading.squad_files import is_squad, read_squad
from trainable.errors import ConfigError

_EXPECTED = 'give one object such as {"text": "...", "label": "..."} a line, or one array of such objects'
_BLANKS, _END = re.compile(r"[ \t\r\n]*"), re.compile(r"\][ \t\r\n]*\Z")


def read_json(text: str, name: str) -> RawTable:
    """Read the text of a file with one JSON object per line, with one array of objects, or as SQuAD distributes it.

    If an object lacks a key that another one has, the cell is empty.

    Raises:
        ConfigError: with the first line that is wrong, and how many such lines there are.
    """
    if (whole := _squad(text)) is not None:
        return read_squad(whole, name)
    found = list(_read_array(text) if text.lstrip().startswith("[") else _read_lines(text))
    records = [(line, value) for line, value in found if isinstance(value, dict)]
    wrong = [(line, value) for line, value in found if not isinstance(value, dict)]
    if (wrong or len(records) == 1) and (keys := _keys_of_single_object(text)):
        raise ConfigError(
            f"{name}: the whole file is one JSON object ({keys:.80}), not one for each row; {_EXPECTED}; "
            'pandas writes them with to_json(orient="records")'
        )
    if wrong:
        line, value = wrong[0]
        what = value if isinstance(value, ValueError) else f"a JSON {type(value).__name__}, not an object"
        raise ConfigError(f"{name}: line {line}: {what}; {plural(len(wrong), 'such line')} in all; {_EXPECTED}")
    if not records:
        raise ConfigError(f"{name}: the array is empty; {_EXPECTED}")
    names = list(dict.fromkeys(key for _, record in records for key in record))
    check_column_names(names, name)
    columns: dict[str, list[Any] | pa.ChunkedArray] = {key: [r.get(key) for _, r in records] for key in names}
    lines = [line for line, _ in records]
    one_row_per_line = len(set(lines)) == len(lines)  # otherwise messages name the row instead of the line
    return RawTable(name, columns, len(records), lines if one_row_per_line else None)


def _squad(text: str) -> dict[str, Any] | None:
    """Return the content of a SQuAD file; None for any other file."""
    if not text.lstrip().startswith("{") or '"paragraphs"' not in text:
        return None
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return whole if is_squad(whole) else None


def _read_lines(text: str) -> Iterator[tuple[int, Any]]:
    """Yield the number (1-based) and value of each line; a `ValueError` as value if the line is not JSON."""
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                yield number, json.loads(line, object_pairs_hook=_object)
            except (ValueError, RecursionError) as error:
                yield number, _not_json(error)


def _read_array(text: str) -> Iterator[tuple[int, Any]]:
    """Yield the first line (1-based) and value of each element; a `ValueError` comes last if the text is not JSON."""
    decoder = json.JSONDecoder(object_pairs_hook=_object)
    place = text.index("[")
    line = text.count("\n", 0, place) + 1
    while text[place] in "[,":
        begin = _after_blanks(text, place + 1)
        line += text.count("\n", place, begin)
        if text.startswith("[", place) and text.startswith("]", begin):
            place = begin
            break
        try:
            value, end = decoder.raw_decode(text, begin)
        except (ValueError, RecursionError) as error:
            yield getattr(error, "lineno", line), _not_json(error)
            return
        yield line, value
        place = _after_blanks(text, end)
        line += text.count("\n", begin, place)
        if place == len(text):
            break
    if not _END.match(text, place):
        yield line, ValueError("no JSON array (a comma, or a bracket that ends the file, is expected)")


def _after_blanks(text: str, place: int) -> int:
    blanks = _BLANKS.match(text, place)
    return blanks.end() if blanks else place


def _not_json(error: ValueError | RecursionError) -> ValueError:
    what = f"{error.msg}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else f"{error!s:.200}"
    return ValueError(f"no JSON object ({what})")


def _keys_of_single_object(text: str) -> str:
    """Return the keys if the whole text is one JSON object whose values are all lists or objects, otherwise ""."""
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(whole, dict) or not all(isinstance(value, list | dict) for value in whole.values()):
        return ""
    return ", ".join(map(repr, whole))


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object as a dict, but refuse repeated names: Python would silently lose a value."""
    record = dict(pairs)
    if len(record) < len(pairs):
        twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise ValueError(f"the name {twice!r:.80} occurs twice")
    return record
