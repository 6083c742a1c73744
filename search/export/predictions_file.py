"""Writes rows with the answers that a model gave them: CSV or TSV that a spreadsheet can open safely, or JSON.

A spreadsheet runs a cell that begins like a formula, so a text from someone else could run code on the user's machine.
Such a cell gets an apostrophe before it in CSV and TSV. In JSON every cell stays as it is.
"""

import csv
import io
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from search.streams import use_utf8
from trainable.errors import ConfigError
from trainable.store.files import write_file

_FORMULA = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")  # the last four are full-width forms of the first
_DIGITS = 6  # of a probability, behind the point


@dataclass(frozen=True)
class Labelled:
    """The rows of a file, and what was added to each."""

    header: Sequence[str]
    """The file's columns, then those of the prediction and the probabilities."""
    rows: Iterator[tuple[list[Any], str | float | None, list[float | None]]]
    """The file's cells, the prediction, the probabilities; None for a row without a prediction."""


def check_output(output: Path) -> None:
    """Check that a file can be written under this name, and that its suffix names a format.

    Raises:
        ConfigError: if not.
    """
    if output.suffix.lower() not in _WRITERS:
        raise ConfigError(
            f"--output {output}: the suffix is not that of a known format; known are {', '.join(_WRITERS)}"
        )
    if not output.absolute().parent.is_dir():
        raise ConfigError(f"--output {output}: there is no folder {output.absolute().parent}; make it first")
    if os.path.lexists(output) and not output.is_file():
        raise ConfigError(f"--output {output}: is not a plain file; leave --output out for stdout, or name a file")


def write_labelled(labelled: Labelled, output: Path | None) -> None:
    """Write in UTF-8: to a file in the format of its suffix, which appears complete or not at all, or CSV to stdout.

    Raises:
        ConfigError: if the file cannot be written.
    """
    if output is None:
        use_utf8(sys.stdout)
        _write_csv(sys.stdout, labelled)
        return

    def write(into: Path) -> None:
        with into.open("w", encoding="utf-8", newline="") as stream:
            _WRITERS[output.suffix.lower()](stream, labelled)

    try:
        write_file(output, write)
    except OSError as error:
        raise ConfigError(f"--output {output}: cannot be written: {error.strerror}") from None


def _write_csv(stream: TextIO, labelled: Labelled, delimiter: str = ",") -> None:
    def write(cells: Iterable[str]) -> None:
        line = io.StringIO()
        csv.writer(line, delimiter=delimiter).writerow(
            cells
        )  # ends lines in \r\n, so that it quotes cells that hold either
        stream.write(line.getvalue().removesuffix("\r\n") + "\n")

    write(map(_cell, labelled.header))
    for cells, predicted, probabilities in labelled.rows:
        write([*map(_cell, [*cells, predicted]), *("" if p is None else f"{p:.{_DIGITS}f}" for p in probabilities)])


def _write_json_lines(stream: TextIO, labelled: Labelled) -> None:
    stream.writelines(f"{record}\n" for record in _json_objects(labelled))


def _write_json_array(stream: TextIO, labelled: Labelled) -> None:
    stream.write("[")
    stream.writelines(f"{',' if number else ''}\n{record}" for number, record in enumerate(_json_objects(labelled)))
    stream.write("\n]\n")


def _json_objects(labelled: Labelled) -> Iterator[str]:
    for cells, predicted, probabilities in labelled.rows:
        values = [*cells, predicted, *(None if p is None else round(p, _DIGITS) for p in probabilities)]
        yield json.dumps(dict(zip(labelled.header, values, strict=True)), default=str)


_WRITERS: dict[str, Callable[[TextIO, Labelled], None]] = {
    ".csv": _write_csv,
    ".tsv": partial(_write_csv, delimiter="\t"),
    ".json": _write_json_array,
    ".jsonl": _write_json_lines,
    ".ndjson": _write_json_lines,
}
"""The function that writes a file, by the suffix of the file's name."""


def _cell(value: Any) -> str:
    """Return a value as text in which no spreadsheet sees a formula."""
    if not isinstance(value, str):
        return "" if value is None else json.dumps(value, ensure_ascii=False, default=str)
    text = value.encode("utf-8", "backslashreplace").decode()  # half a surrogate pair cannot be written
    return f"'{text}" if text.startswith(_FORMULA) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
