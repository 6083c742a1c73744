"""Checks the cells of the text columns: empty, not text, not encodable, or too long."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainable.data.check_results import CheckResults
from trainable.data.choices import joined_choices
from trainable.data.columns import Columns
from trainable.data.image_file import ImageFile
from trainable.data.message_text import rows_with, shortened
from trainable.data.reading.raw_table import RawTable, is_encodable
from trainable.settings.dataset import Dataset, Empty

MAX_CHARACTERS = 1_000_000
"""Limit of one text. No `padding_length` is that long, and tokenising each further megabyte takes seconds and 60 MB."""


SEPARATOR, NO_BREAK = " ", "\N{NO-BREAK SPACE}"
"""What is between two words, and what replaces it inside a word; so a text of words splits into the same words."""


@dataclass(frozen=True)
class CheckedTexts:
    """The texts or images of one split, without the rows that `empty: drop` removes."""

    raw: RawTable
    """The table after these rows are removed."""
    columns: list[list[Any]]
    """The cells of each text column, (rows,) each; of images, a digest of each."""
    usable: NDArray[np.bool_]
    """(rows,), whether the texts of a row can be used."""
    images: list[ImageFile] | None = None
    """(rows,), the images; None for texts."""


def check_all_texts(
    dataset: Dataset,
    raws: Mapping[str, RawTable],
    columns: Mapping[str, Columns],
    results: CheckResults,
    words: bool = False,
) -> dict[str, CheckedTexts]:
    """Check the texts of every split, and drop rows with an empty text if `empty` says so.

    Args:
        dataset: the settings.
        raws: the tables by split.
        columns: the names of their text columns.
        results: collects problems and notes.
        words: whether a text may be a list of words.
    """
    checked = {}
    for split, raw in raws.items():
        names, cells = _cells(raw, columns[split], words)
        checked[split] = _check_split(raw, names, cells, dataset.empty, results)
    return checked


def _cells(raw: RawTable, columns: Columns, words: bool) -> tuple[list[str], list[list[Any]]]:
    """Return names and cells of the one or two texts of each row; choices are one text."""
    if columns.choices:
        choices = joined_choices([raw.cells(name) for name in columns.choices])
        return [columns.text, ", ".join(columns.choices)], [raw.cells(columns.text), choices]
    cells = [[joined_words(cell) if words else cell for cell in raw.cells(name)] for name in columns.texts()]
    return columns.texts(), cells


def _check_split(
    raw: RawTable, names: Sequence[str], columns: list[list[Any]], empty: Empty, results: CheckResults
) -> CheckedTexts:
    without_text = np.zeros(raw.rows, dtype=bool)
    for name, cells in zip(names, columns, strict=True):
        if rows := empty_rows(cells):
            without_text[rows] = True
            _report_empty(rows_with(raw, rows, f"no text in column {name!r}"), empty, results)
    if empty == "drop" and without_text.any():
        kept = np.flatnonzero(~without_text)
        raw, without_text = raw.take(kept), without_text[kept]
        columns = [[cells[row] for row in kept.tolist()] for cells in columns]
    usable = ~without_text if empty == "error" else np.ones(raw.rows, dtype=bool)
    for name, cells in zip(names, columns, strict=True):
        unusable, problems = check_texts(raw, name, cells)
        usable[list(unusable)] = False
        results.problems += problems
    return CheckedTexts(raw, columns, usable)


def _report_empty(message: str, empty: Empty, results: CheckResults) -> None:
    if empty == "error":
        results.problems.append(
            f"{message}; fill or remove such rows, or set `empty: keep` to use them as they are, "
            "`empty: drop` to leave them out"
        )
    else:
        results.notes.append(f"{message}; {'kept' if empty == 'keep' else 'left out'} (`empty: {empty}`)")


def joined_words(cell: Any) -> Any:
    """Return a list of words as one text, with a blank between each two; another cell as it is."""
    if not isinstance(cell, list) or not all(isinstance(word, str) for word in cell):
        return cell
    return SEPARATOR.join(word.replace(SEPARATOR, NO_BREAK) for word in cell)


def empty_rows(cells: Sequence[Any]) -> list[int]:
    """Return the rows (0-based) whose cell is empty or has only whitespace."""
    return [i for i, cell in enumerate(cells) if cell is None or (isinstance(cell, str) and not cell.strip())]


def check_texts(raw: RawTable, column: str, cells: Sequence[Any]) -> tuple[set[int], list[str]]:
    """Find the cells that are not usable text. Empty cells are allowed here; `empty_rows` finds them.

    Returns:
        The rows (0-based), and one sentence for each kind of mistake.
    """
    other = [i for i, cell in enumerate(cells) if cell is not None and not isinstance(cell, str)]
    broken = [i for i, cell in enumerate(cells) if isinstance(cell, str) and not is_encodable(cell)]
    long = [i for i, cell in enumerate(cells) if isinstance(cell, str) and len(cell) > MAX_CHARACTERS]
    problems = []
    if other:
        kind = type(cells[other[0]]).__name__
        problems.append(
            rows_with(raw, other, f"something else than text in column {column!r}")
            + f": {shortened(cells[other[0]])} ({kind}); quote it, or name another column"
        )
    if broken:
        problems.append(
            rows_with(raw, broken, f"half a character (a lone surrogate) in column {column!r}")
            + "; such text cannot be encoded"
        )
    if long:
        problems.append(
            rows_with(raw, long, f"more than {MAX_CHARACTERS:,} characters in column {column!r}")
            + f": {len(cells[long[0]]):,}; cut or divide such texts"
        )
    return {*other, *broken, *long}, problems
