"""Reads the labels of rows that have any number of them: a cell with several, or a column of 0 and 1 for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainable.data.check_results import CheckResults
from trainable.data.examples import LocatedExamples
from trainable.data.label_reader import UNCLEAR, Labels
from trainable.data.message_text import first_few, rows_with, shortened
from trainable.data.reading.raw_table import RawTable
from trainable.settings.dataset import Dataset

_TRUTH = {"1": True, "0": False, "1.0": True, "0.0": False, "true": True, "false": False}


def read_labels(dataset: Dataset, raws: Mapping[str, RawTable], results: CheckResults) -> Labels:
    """Return the labels of every split as 0 and 1, shape (rows, C), and add mistakes to `results`."""
    if dataset.labels is not None:
        results.problems.append("labels: `multi_label` takes its label names from the data; leave it out")
    if dataset.label_columns:
        names = tuple(dataset.label_columns)
        columns = {split: [_truths(raw, name, results) for name in names] for split, raw in raws.items()}
        tables = {split: np.stack(of, -1) for split, of in columns.items()}
    else:
        sets = {split: _sets(raw, dataset, results) for split, raw in raws.items()}
        names = tuple(sorted({name for of in sets.values() for row in of if row for name in row}))
        tables = {split: _table(of, names) for split, of in sets.items()}
    usable = {split: np.isfinite(table).all(-1) for split, table in tables.items()}
    counts = tables["train"][usable["train"]].sum(0)
    strata = {s: np.where(usable[s], rarest_label(table, counts), UNCLEAR) for s, table in tables.items()}
    return Labels(names, {split: np.nan_to_num(table) for split, table in tables.items()}, strata)


def rarest_label(labels: NDArray[np.float32], counts: NDArray[Any]) -> NDArray[np.int64]:
    """Return for each row 1 plus the number of its rarest label, and 0 for a row without any, shape (N,).

    Parts of the rows that keep the shares of these also keep the rare labels, which a random part would lose.
    """
    if not labels.shape[1]:
        return np.zeros(len(labels), dtype=np.int64)
    rarity = np.where(np.nan_to_num(labels) > 0, counts, np.inf)
    return np.where(np.isfinite(rarity).any(-1), rarity.argmin(-1) + 1, 0).astype(np.int64)


def check_labels(splits: Mapping[str, LocatedExamples], names: Sequence[str], results: CheckResults) -> None:
    """Add what is wrong or unusual in the labels of the finished splits to `results`."""
    train = splits["train"]
    trained = train.examples.labels.sum(0) > 0
    if not trained.any() and not train.refused_classes:
        results.problems.append(f"{train.raw.source}: no training row has a label; there is nothing to learn")
        return
    for split, part in splits.items():
        counts = part.examples.labels.sum(0)
        unseen = [name for name, count, known in zip(names, counts, trained, strict=True) if count and not known]
        if unseen and not train.refused_classes:
            listed = first_few(dict.fromkeys(unseen))
            results.problems.append(
                f"{part.raw.source}: {split} rows with labels unseen in training: {listed}; add training rows or "
                "remove these labels"
            )
        if without := int((part.examples.labels.sum(-1) == 0).sum()):
            results.notes.append(f"{split}: {without} of {len(part.examples)} rows have no label")


def _sets(raw: RawTable, dataset: Dataset, results: CheckResults) -> list[set[str] | None]:
    """Return the labels of each row; None, with a problem, for a cell that is neither text nor a list of texts."""
    cells, separator = raw.cells(dataset.label), dataset.label_separator
    found = [_set(cell, separator) for cell in cells]
    if wrong := [row for row, of in enumerate(found) if of is None]:
        way = "" if separator else "; set `label_separator`, or name columns of 0 and 1 in `label_columns`"
        message = rows_with(raw, wrong, f"no set of labels in column {dataset.label!r}")
        results.problems.append(f"{message}: {shortened(str(cells[wrong[0]]))}{way}")
    return found


def _set(cell: Any, separator: str | None) -> set[str] | None:
    if cell is None or cell != cell:  # pandas writes empty cells as NaN
        return set()
    if isinstance(cell, str) and (separator or not cell.strip()):
        return {part.strip() for part in cell.split(separator or "\n") if part.strip()}
    if isinstance(cell, int) and not isinstance(cell, bool) and separator:
        return {str(cell)}
    if isinstance(cell, list) and all(isinstance(part, str) for part in cell):
        return {part.strip() for part in cell if part.strip()}
    return None


def _table(sets: Sequence[set[str] | None], names: Sequence[str]) -> NDArray[np.float32]:
    """Return 1 where a row has a label, shape (rows, C); NaN in rows without a set."""
    number = {name: column for column, name in enumerate(names)}
    table = np.zeros((len(sets), len(names)), dtype=np.float32)
    for row, of in enumerate(sets):
        if of is None:
            table[row] = np.nan
        else:
            table[row, [number[name] for name in of]] = 1.0
    return table


def _truths(raw: RawTable, column: str, results: CheckResults) -> NDArray[np.float32]:
    """Return the 0 and 1 of a column, NaN for anything else, with a problem."""
    cells = raw.cells(column)
    values = [_TRUTH.get(str(cell).strip().lower()) for cell in cells]
    if wrong := [row for row, value in enumerate(values) if value is None]:
        message = rows_with(raw, wrong, f"neither 0 nor 1 in column {column!r}")
        results.problems.append(f"{message}: {shortened(str(cells[wrong[0]]))}")
    return np.array([np.nan if value is None else float(value) for value in values], dtype=np.float32)
