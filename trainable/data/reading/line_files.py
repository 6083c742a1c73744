"""Reads plain text files: each line is one text, and the only column is `text`."""

from __future__ import annotations

from trainable.data.reading.raw_table import RawTable
from trainable.errors import ConfigError


def read_lines(text: str, name: str) -> RawTable:
    """Read the lines of a text file without those that are blank.

    Args:
        text: the file's text.
        name: the file's name as the user wrote it.

    Raises:
        ConfigError: if every line is blank.
    """
    # `str.splitlines` also cuts at characters that occur inside texts, such as U+2028.
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    numbers = [number for number, line in enumerate(lines, start=1) if line.strip()]
    if not numbers:
        raise ConfigError(f"{name}: the file has no text; write one text on each line")
    return RawTable(name, {"text": [lines[number - 1] for number in numbers]}, len(numbers), numbers)
