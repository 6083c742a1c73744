"""Formats counts and values of the data for messages."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # `raw_table` imports pyarrow; a report formats names without it
    from trainable.data.reading.raw_table import RawTable

INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
"""Invisible letters and marks that Python calls printable: fillers, joiners, variation selectors."""


def rows_with(raw: RawTable, rows: Sequence[int], what: str) -> str:
    """Say how many rows of a file have something, and the position of the first one."""
    return f"{raw.source}: {plural(len(rows), 'row')} with {what}, the first on {raw.position(rows[0])}"


def plural(count: int, noun: str) -> str:
    """Return a count with its noun, such as `2 rows`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def first_few(values: Mapping[str, int | str | None], most: int = 5) -> str:
    """List the first names, with their counts if the values are counts, and say how many more there are."""
    shown = [shortened(name) + (f" {n}x" if isinstance(n, int) else "") for name, n in list(values.items())[:most]]
    return ", ".join(shown) + (f" and {len(values) - most} more" if len(values) > most else "")


def shortened(value: object, most: int = 60) -> str:
    """Return a value as a Python literal, cut to `most` characters."""
    shown = quoted(value) if isinstance(value, str) else repr(value)
    return shown if len(shown) <= most else f"{shown[: most - 4]}...{shown[0] if isinstance(value, str) else ''}"


def quoted(text: str) -> str:
    """Return text in quotes. Characters that are invisible or look like another one are escaped."""
    literal = repr(text)  # escapes what Python calls unprintable
    if literal.isascii():
        return literal
    composed = unicodedata.is_normalized("NFC", text)
    return "".join(_escaped(c) if not c.isascii() and (not composed or _is_misleading(c)) else c for c in literal)


def quoted_if_unclear(name: str) -> str:
    """Return a name as it is, or in quotes if one could not see all its blanks and characters."""
    return name if quoted(name)[1:-1] == name == " ".join(name.split()) else quoted(name)


def _is_misleading(character: str) -> bool:
    """Return whether a character is invisible, or a letter that looks like a plainer letter.

    Full-width letters are not misleading: people see their width.
    """
    if INVISIBLE.match(character):
        return True
    if unicodedata.category(character)[0] != "L" or unicodedata.east_asian_width(character) == "F":
        return False
    return not unicodedata.is_normalized("NFKC", character)


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
