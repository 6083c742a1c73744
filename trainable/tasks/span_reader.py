"""Reads the true answers to questions: texts and where they begin in the context, as in SQuAD."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainable.data.check_results import CheckResults
from trainable.data.examples import LocatedExamples
from trainable.data.label_reader import UNCLEAR, Labels, ReaderDefaults
from trainable.data.message_text import rows_with, shortened
from trainable.data.reading.raw_table import RawTable
from trainable.settings.dataset import Dataset

OUTPUTS = ("start", "end")
"""Names of the model's outputs for each token."""
_FORM = 'give {"text": ["..."], "answer_start": [0]}, with empty lists for a question without an answer'


class SpanReader(ReaderDefaults):
    """Reads the column of the answers; see `trainable.data.label_reader.LabelReader` for its methods.

    A label is a dict with the lists `text` and `answer_start`, and the `context`.
    """

    def columns(self, dataset: Dataset) -> tuple[str, ...]:
        return (dataset.label_column,)

    def read(self, dataset: Dataset, raws: Mapping[str, RawTable], results: CheckResults) -> Labels:
        if dataset.labels is not None:
            results.problems.append("labels: names classes, and answers have none; leave it out")
        labels, strata = {}, {}
        for split, raw in raws.items():
            contexts = raw.cells(dataset.text_b or "context")
            labels[split], usable = _labels(raw, dataset.label_column, contexts, results)
            answered = np.array([bool(label["text"]) for label in labels[split]], dtype=np.int64)
            strata[split] = np.where(usable, answered, UNCLEAR).astype(np.int64)
        return Labels(OUTPUTS, labels, strata)

    def check_splits(
        self, dataset: Dataset, splits: Mapping[str, LocatedExamples], names: Sequence[str], results: CheckResults
    ) -> None:
        train = splits["train"]
        if len(train.examples) and not train.examples.strata.any():
            results.problems.append(f"{train.raw.source}: no training question has an answer; add some")


def _labels(
    raw: RawTable, column: str, contexts: Sequence[Any], results: CheckResults
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return the label of each row, and whether it can be used; add a problem for each kind of wrong cell."""
    cells = raw.cells(column)
    found = [_answers(cell) for cell in cells]
    unclear = [row for row, answers in enumerate(found) if answers is None]
    if unclear:
        message = rows_with(raw, unclear, f"no answers in column {column!r}")
        results.problems.append(f"{message}: {shortened(str(cells[unclear[0]]))}; {_FORM}")
    labels = np.empty(len(cells), dtype=object)
    moved, elsewhere = [], []
    for row, (answers, context) in enumerate(zip(found, contexts, strict=True)):
        text = context if isinstance(context, str) else ""
        placed = [_place(text, *answer) for answer in answers or ()]
        if text and None in placed:
            elsewhere.append(row)
        elif text and placed != [start for _, start in answers or ()]:
            moved.append(row)
        texts = [answer for answer, _ in answers or ()]
        labels[row] = {"text": texts, "answer_start": [start or 0 for start in placed], "context": text}
    if elsewhere:
        what = f"an answer in column {column!r} that is not in its context"
        results.problems.append(f"{rows_with(raw, elsewhere, what)}; correct or remove such rows")
    if moved:
        what = f"an answer in column {column!r} that does not begin at its `answer_start`"
        results.notes.append(f"{rows_with(raw, moved, what)}; the nearest occurrence in the context is taken")
    usable = np.ones(len(cells), dtype=bool)
    usable[[*unclear, *elsewhere]] = False
    return labels, usable


def _answers(cell: Any) -> list[tuple[str, int]] | None:
    """Return text and beginning of each answer of a cell; None if the cell has another form."""
    if cell is None:
        return []
    if isinstance(cell, Mapping):
        texts, starts = cell.get("text"), cell.get("answer_start")
        if isinstance(texts, str):
            texts, starts = [texts], [starts]
        if not isinstance(texts, list) or not isinstance(starts, list) or len(texts) != len(starts):
            return None
        pairs = list(zip(texts, starts, strict=True))
    elif isinstance(cell, list) and all(isinstance(part, Mapping) for part in cell):
        pairs = [(part.get("text"), part.get("answer_start")) for part in cell]
    else:
        return None
    right = all(isinstance(a, str) and a.strip() and isinstance(b, int) and b >= 0 for a, b in pairs)
    return pairs if right else None


def _place(context: str, text: str, start: int) -> int | None:
    """Return where an answer begins: at `start`, or at its nearest occurrence; None if there is none."""
    if context.startswith(text, start):
        return start
    found = [place for place in (context.find(text, start), context.rfind(text, 0, start + len(text))) if place >= 0]
    return min(found, key=lambda place: abs(place - start), default=None)
