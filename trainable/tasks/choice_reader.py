"""Reads which choice of a row is the right one: its place, its letter, or the name of its column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from string import ascii_uppercase
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainable.data.check_results import CheckResults
from trainable.data.choices import NO_CHOICE, choices_there, joined_choices
from trainable.data.examples import LocatedExamples
from trainable.data.label_reader import EMPTY, UNCLEAR, Labels, ReaderDefaults
from trainable.data.labels import plain_spelling
from trainable.data.message_text import first_few, rows_with, shortened
from trainable.data.reading.raw_table import RawTable
from trainable.settings.dataset import Dataset

SCORE = "score"
"""Name of the model's one output."""
_ENOUGH = 20
"""From so many rows on, a first choice that is never right is no accident."""


class ChoiceReader(ReaderDefaults):
    """Reads the column of the right choices; see `trainable.data.label_reader.LabelReader` for its methods."""

    def columns(self, dataset: Dataset) -> tuple[str, ...]:
        return (dataset.label,)

    def read(self, dataset: Dataset, raws: Mapping[str, RawTable], results: CheckResults) -> Labels:
        if isinstance(dataset.labels, dict):
            results.problems.append("labels: give a list of what the label column says for the first choice, the next")
        there = {split: _there(raw, dataset) for split, raw in raws.items()}
        width = max((part.shape[1] for part in there.values()), default=1)
        spelled = _spellings(dataset, width)
        labels, strata = {}, {}
        for split, raw in raws.items():
            has = np.pad(there[split], ((0, 0), (0, width - there[split].shape[1])))
            strata[split] = _places(raw, dataset, has, spelled, results)
            labels[split] = _labels(has, strata[split])
        return Labels((SCORE,), labels, strata)

    def check_splits(
        self, dataset: Dataset, splits: Mapping[str, LocatedExamples], names: Sequence[str], results: CheckResults
    ) -> None:
        places = np.concatenate([part.examples.strata for part in splits.values()])
        if len(places) >= _ENOUGH and places.min() > 0 and dataset.labels is None:
            counted = [str(number + 1) for number in range(int(places.max()) + 1)]
            results.notes.append(
                "the first choice is never the right one; places count from 0, so if those of the file count from 1, "
                f"set `labels: {counted}`"
            )
        train = splits["train"].examples.strata
        for split, part in splits.items():
            if len(train) and len(part.examples):
                share = float((part.examples.strata == np.bincount(train).argmax()).mean())
                results.notes.append(f"{split}: always the most frequent place is right in {share:.1%} of rows")


def _there(raw: RawTable, dataset: Dataset) -> NDArray[np.bool_]:
    """Return which choices the rows have, shape (rows, K); none where a cell is no list of texts."""
    texts = joined_choices([raw.cells(column) for column in dataset.choice_columns])
    return choices_there([text if isinstance(text, str) else "" for text in texts])


def _spellings(dataset: Dataset, width: int) -> dict[str, int]:
    """Return the place that each value of the label column stands for."""
    if isinstance(dataset.labels, list):
        return {name: place for place, name in enumerate(dataset.labels)}
    named = {str(place): place for place in range(width)}
    for place, letter in enumerate(ascii_uppercase[:width]):
        named |= {letter: place, letter.lower(): place}
    columns = dataset.choice_columns
    return named | ({name: place for place, name in enumerate(columns)} if len(columns) > 1 else {})


def _places(
    raw: RawTable, dataset: Dataset, there: NDArray[np.bool_], spelled: Mapping[str, int], results: CheckResults
) -> NDArray[np.int64]:
    """Return the place of the right choice of each row, or `EMPTY` or `UNCLEAR`; add a problem for each kind."""
    cells = raw.cells(dataset.label)
    found = np.array([_place(cell, spelled) for cell in cells], dtype=np.int64)
    known, few = found >= 0, there.sum(1) < 2
    absent = known & ~np.take_along_axis(there, np.clip(found, 0, there.shape[1] - 1)[:, None], 1)[:, 0]
    absent |= found >= there.shape[1]
    column = f"in column {dataset.label!r}"
    for rows, what, way in (
        (found == EMPTY, f"no label {column}", "fill or remove such rows"),
        (found == UNCLEAR, f"a label {column} that names no choice", f"known are {first_few(dict.fromkeys(spelled))}"),
        (few, "fewer than two choices", "give more, or remove such rows"),
        (absent & ~few, f"a label {column} that names an empty choice", "places count from 0; see `labels`"),
    ):
        if (numbers := np.flatnonzero(rows).tolist()) and raw.rows:
            shown = "" if "label" not in what or cells[numbers[0]] is None else f": {shortened(cells[numbers[0]])}"
            results.problems.append(f"{rows_with(raw, numbers, what)}{shown}; {way}")
    return np.where(known & (few | absent), UNCLEAR, found)


def _place(cell: Any, spelled: Mapping[str, int]) -> int:
    if cell is None or cell != cell or (isinstance(cell, str) and not cell.strip()):
        return EMPTY
    if isinstance(cell, bool) or not isinstance(cell, str | int | float | Decimal):
        return UNCLEAR
    text = str(cell).strip()
    return spelled.get(text, spelled.get(plain_spelling(text), UNCLEAR))


def _labels(there: NDArray[np.bool_], places: NDArray[np.int64]) -> NDArray[np.int16]:
    """Return 1 for the right choice, 0 for a wrong one, `NO_CHOICE` for none, shape (rows, K)."""
    labels = np.where(there, 0, NO_CHOICE).astype(np.int16)
    rows = np.flatnonzero(places >= 0)
    labels[rows, places[rows]] = 1
    return labels
