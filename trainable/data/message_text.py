"""How counts and values of the data are written in messages."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # it takes pyarrow, which a report does without
    from trainable.data.reading.raw_table import RawTable

UNSEEN = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")
"""Letters and marks that cannot be seen, though Python calls them printable: fillers, joiners, variation selectors."""


def at(raw: RawTable, rows: Sequence[int], what: str) -> str:
    """How many rows of a file have something, and where the first one stands."""
    return f"{raw.source}: {plural(len(rows), 'row')} with {what}, the first on {raw.where(rows[0])}"


def plural(count: int, noun: str) -> str:
    """A count with its noun."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def some(values: Mapping[str, int | str | None], most: int = 5) -> str:
    """The first few names, with their counts where there are any."""
    shown = [short(name) + (f" {n}x" if isinstance(n, int) else "") for name, n in list(values.items())[:most]]
    return ", ".join(shown) + (f" and {len(values) - most} more" if len(values) > most else "")


def short(value: object, most: int = 60) -> str:
    """A value as it would be typed, cut where it is long."""
    shown = quoted(value) if isinstance(value, str) else repr(value)
    return shown if len(shown) <= most else f"{shown[: most - 4]}...{shown[0] if isinstance(value, str) else ''}"


def quoted(text: str) -> str:
    """Text in quotes, with an escape for every character that looks like another one or like nothing."""
    shown = repr(text)  # escapes what cannot be seen
    if shown.isascii():
        return shown
    composed = unicodedata.is_normalized("NFC", text)
    return "".join(_escaped(c) if not c.isascii() and (not composed or _deceives(c)) else c for c in shown)


def shown_name(name: str) -> str:
    """A name as it is, or in quotes where its blanks or characters would not show."""
    return name if quoted(name)[1:-1] == name == " ".join(name.split()) else quoted(name)


def _deceives(character: str) -> bool:
    """Whether a character cannot be seen, or is a letter kept beside the plain one that it looks like.

    Full-width letters are seen to be wide.
    """
    if UNSEEN.match(character):
        return True
    if unicodedata.category(character)[0] != "L" or unicodedata.east_asian_width(character) == "F":
        return False
    return not unicodedata.is_normalized("NFKC", character)


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
