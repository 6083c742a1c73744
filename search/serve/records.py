"""Rows as JSON and MLflow give them, one mapping by column for each, and the answers of an exported model to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from search.export.facts import FolderFacts
from search.export.table_in import rows_for_model
from trainable.answers.answer import Cell
from trainable.data.reading.raw_table import RawTable

if TYPE_CHECKING:
    from search.export.classifier import Classifier

Record = Mapping[str, Any]
"""The cells of a row by column."""
_WAY_OUT = "leave such rows out"
_IMAGE = "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAIAQAAAADsdIMmAAAADUlEQVR4nGP4z8SADAEPcQEOqa2awAAAAABJRU5ErkJggg=="
"""A white PNG of 8 x 8 pixels."""


def answers_to(records: Sequence[Record], facts: FolderFacts, classifier: Classifier) -> list[dict[str, Cell | None]]:
    """Return, for each row, what `transfersweep predict` writes beside it.

    A row without a text has no values where the model's data left such rows out (`empty: drop`).

    Args:
        records: rows with the columns of texts or images that the model was trained on; an image is the bytes of a
            file, never a path.
        facts: of the exported folder.
        classifier: loaded from the folder.

    Raises:
        ConfigError: naming every mistake in the rows.
    """
    columns = {name: [record.get(name) for record in records] for name in facts.text_columns}
    found = rows_for_model(RawTable("rows", columns, len(records)), facts, _WAY_OUT)
    values, answers = classifier.values(found.cells).tolist() if found.rows else [], facts.answers()
    names = answers.columns()
    answered: list[dict[str, Cell | None]] = [dict.fromkeys(names) for _ in records]
    for row, of_row in zip(found.rows, values, strict=True):
        predicted, others = answers.cells(of_row)
        answered[row] = dict(zip(names, (predicted, *others), strict=True))
    return answered


def example(facts: FolderFacts) -> dict[str, Any]:
    """Return a row that a model takes, as JSON has it; an image is the base64 form of a file."""
    answers = facts.answers()
    if answers.content == "image":
        return {facts.text_columns[0]: _IMAGE}
    cells: list[Any] = ["Your text"] * len(facts.text_columns)
    if answers.lists_choices and not answers.choices:
        cells[1] = ["First choice", "Second choice"]
    return dict(zip(facts.text_columns, cells, strict=True))
