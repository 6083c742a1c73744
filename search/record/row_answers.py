"""The winner's answer to each row of the split that it was scored on, kept in a small Parquet file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pyarrow
import pyarrow.parquet
from pyarrow import ArrowException

from trainable.store.files import write_file

MOST_TEXTS = 200
"""Rows with the highest losses whose texts are kept."""
_FACTS = b"transfersweep"
Shown = str | float


@dataclass(frozen=True)
class RowAnswer:
    """The answer to one row."""

    row: int
    """Its number in the split, from 0."""
    true: Shown
    """What the data say: a label, a number, or the text of an answer."""
    predicted: Shown | None
    """What the model says; None where only scores of it are known."""
    loss: float
    """How wrong the answer is: higher is worse, see `Task.row_losses`."""
    confidence: float | None = None
    """Probability of the predicted label, 0 to 1; None if the task has none."""
    true_confidence: float | None = None
    """Probability of the true label, 0 to 1."""
    is_suspect: bool = False
    """Whether its label is probably wrong, see `trainable.metrics.label_errors`."""
    text: str | None = None
    """Its text, shortened; None for rows with a low loss."""


@dataclass(frozen=True)
class RowAnswers:
    """The answers to all rows of a split."""

    split: str
    classes: tuple[str, ...]
    """Names of the classes, if each row has exactly one; else empty."""
    rows: tuple[RowAnswer, ...]

    @property
    def wrong(self) -> list[RowAnswer]:
        """Return the rows with another answer than the true one, the worst first."""
        return sorted((row for row in self.rows if row.predicted != row.true), key=lambda row: -row.loss)

    @property
    def are_numbers(self) -> bool:
        """Return whether the answers are numbers."""
        return all(isinstance(row.true, float) and isinstance(row.predicted, float) for row in self.rows)

    def save(self, file: Path) -> None:
        """Write the answers; an older file is replaced."""
        facts = {_FACTS: json.dumps({"split": self.split, "classes": self.classes}).encode()}
        table = pyarrow.Table.from_pylist([vars(row) for row in self.rows]).replace_schema_metadata(facts)
        write_file(file, lambda into: pyarrow.parquet.write_table(table, into, compression="zstd"))

    @classmethod
    def load(cls, file: Path) -> RowAnswers | None:
        """Return the answers in a file; None if there is none, or it is damaged."""
        try:
            table = pyarrow.parquet.read_table(file)
            facts = json.loads(table.schema.metadata[_FACTS])
            rows = tuple(RowAnswer(**row) for row in table.to_pylist())
            return cls(facts["split"], tuple(facts["classes"]), rows)
        except (OSError, ArrowException, LookupError, TypeError, ValueError):
            return None
