"""The rows of a table as an exported model reads them: its columns of texts or images, checked. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from search.export.facts import FolderFacts
from trainable.answers.answer import Answers
from trainable.data.checks.images import find_images
from trainable.data.checks.texts import check_texts, empty_rows, joined_words
from trainable.data.choices import joined_choices
from trainable.data.message_text import rows_with
from trainable.data.reading.raw_table import RawTable
from trainable.errors import ConfigError
from trainable.settings.dataset import Empty


@dataclass(frozen=True)
class ModelRows:
    """What a model reads of a table."""

    cells: list[list[Any]]
    """By column: the texts, or the images, of the rows that get an answer."""
    rows: list[int]
    """Those rows of the table, 0-based, ascending."""
    notes: list[str]
    """On rows without a text or an image."""


def rows_for_model(raw: RawTable, facts: FolderFacts, way_out: str, empty: Empty | None = None) -> ModelRows:
    """Check the columns that a model reads, and choose the rows that get an answer.

    Args:
        raw: the table, with further columns or without.
        facts: of the model.
        way_out: the end of the message about rows without a text or an image.
        empty: what becomes of such rows; None: what the model's own data did.

    Raises:
        ConfigError: if a column is missing, a cell cannot be used, or a row has no text and `empty` does not allow it.
    """
    answers, empty = facts.answers(), facts.settings.dataset.empty if empty is None else empty
    if answers.content == "image":
        return _images(raw, facts.text_columns[0], empty, way_out)
    return _texts(raw, facts.text_columns, empty, way_out, answers)


def _missing(raw: RawTable, columns: Sequence[str]) -> list[str]:
    there = ", ".join(map(repr, raw.columns))
    return [
        f"{raw.source}: no column {column!r}, which this model reads; there are {there:.300}; rename one in the file"
        for column in columns
        if column not in raw.columns
    ]


def _images(raw: RawTable, column: str, empty: Empty, way_out: str) -> ModelRows:
    if problems := _missing(raw, [column]):
        raise ConfigError(problems)
    found, problems = find_images(raw, column)
    without, notes = [row for row, image in enumerate(found) if image is None], []
    if without:
        what = rows_with(raw, without, f"no image in column {column!r}")
        if empty == "error":
            problems.append(f"{what}; {way_out}")
        notes.append(f"{what}; left without a label")
    if problems:
        raise ConfigError(problems)
    rows = [row for row, image in enumerate(found) if image is not None]
    return ModelRows([[found[row] for row in rows]], rows, notes)


def _texts(raw: RawTable, columns: Sequence[str], empty: Empty, way_out: str, answers: Answers) -> ModelRows:
    problems, notes, labelled = _missing(raw, columns), list[str](), np.ones(raw.rows, dtype=bool)
    columns, texts = _cells(raw, [column for column in columns if column in raw.columns], answers)
    done = "labelled" if empty == "keep" else "left without a label"
    for column, cells in zip(columns, texts, strict=True):
        problems += check_texts(raw, column, cells)[1]
        if without := empty_rows(cells):
            what = rows_with(raw, without, f"no text in column {column!r}")
            if empty == "error":
                problems.append(f"{what}; {way_out}")
            notes.append(f"{what}; {done} (`empty: {empty}`)")
            labelled[without] = empty == "keep"
    if problems:
        raise ConfigError(problems)
    rows = np.flatnonzero(labelled).tolist()
    return ModelRows([["" if cells[row] is None else cells[row] for row in rows] for cells in texts], rows, notes)


def _cells(raw: RawTable, columns: Sequence[str], answers: Answers) -> tuple[Sequence[str], list[list[Any]]]:
    """Return the names and the cells of the one or two texts of each row."""
    cells = [raw.cells(column) for column in columns]
    if answers.lists_choices and len(cells) > 1:
        return [columns[0], ", ".join(columns[1:])], [cells[0], joined_choices(cells[1:])]
    if answers.head == "every_token":
        cells = [[joined_words(cell) for cell in column] for column in cells]
    return columns, cells
