"""Writes rows with what a model made of them: CSV or TSV that a spreadsheet can open safely, or JSON lines.

A spreadsheet runs a cell that begins like a formula, whoever wrote it, so that labelling somebody's texts could run
their code. Such a cell gets an apostrophe before it in CSV and TSV; in JSON lines every cell stays as it is.
"""

import csv
import io
import json
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from trainable.errors import ConfigError

_FORMULA = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")  # the last four are full-width forms of the first
_DIGITS = 6  # of a probability, behind the point


@dataclass(frozen=True)
class Labelled:
    """The rows of a file, and what was added to each."""

    header: Sequence[str]
    """The file's columns, then the label's and the probabilities'."""
    rows: Iterator[tuple[list[Any], str, list[float]]]
    """The file's cells, the label, the probabilities."""


def write_labelled(labelled: Labelled, output: Path | None) -> None:
    """Write to a file that appears whole or not at all, by its suffix, or as CSV to stdout.

    Raises:
        ConfigError: if the file cannot be written.
    """
    if output is None:
        _write_csv(sys.stdout, labelled, ",")
        return
    try:
        handle, partial = tempfile.mkstemp(dir=output.absolute().parent, prefix=".labelled-")
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="") as stream:
                if output.suffix.lower() in {".jsonl", ".ndjson"}:
                    _write_json(stream, labelled)
                else:
                    _write_csv(stream, labelled, "\t" if output.suffix.lower() == ".tsv" else ",")
            os.chmod(partial, 0o644)  # mkstemp makes files that only their owner may read
            os.replace(partial, output)
        finally:
            Path(partial).unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(f"--output {output}: cannot be written: {error.strerror}") from None


def _write_csv(stream: TextIO, labelled: Labelled, delimiter: str) -> None:
    def write(cells: Iterable[str]) -> None:
        line = io.StringIO()
        csv.writer(line, delimiter=delimiter).writerow(cells)  # ends in \r\n, for both of which it then quotes cells
        stream.write(line.getvalue().removesuffix("\r\n") + "\n")

    write(map(_cell, labelled.header))
    for cells, label, probabilities in labelled.rows:
        write([*map(_cell, [*cells, label]), *(f"{p:.{_DIGITS}f}" for p in probabilities)])


def _write_json(stream: TextIO, labelled: Labelled) -> None:
    for cells, label, probabilities in labelled.rows:
        values = [*cells, label, *(round(p, _DIGITS) for p in probabilities)]
        stream.write(json.dumps(dict(zip(labelled.header, values, strict=True)), default=str) + "\n")


def _cell(value: Any) -> str:
    """A value as text in which no spreadsheet sees a formula."""
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
