"""Reads the target texts of rows: one text, or a list of several correct ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainable.data.check_results import CheckResults
from trainable.data.checks.texts import check_texts
from trainable.data.label_reader import EMPTY, UNCLEAR, Labels, ReaderDefaults
from trainable.data.message_text import rows_with, shortened
from trainable.data.reading.raw_table import RawTable
from trainable.settings.dataset import Dataset

TARGET = "target"
"""`target_column` where it is null."""


class TargetReader(ReaderDefaults):
    """Reads a column of texts; see `trainable.data.label_reader.LabelReader` for its methods.

    The label of a row is a tuple of its correct texts; a model trains on the first one.
    """

    def columns(self, dataset: Dataset) -> tuple[str, ...]:
        return (dataset.target_column or TARGET,)

    def read(self, dataset: Dataset, raws: Mapping[str, RawTable], results: CheckResults) -> Labels:
        if dataset.labels is not None:
            results.problems.append("labels: names classes, and texts have none; leave it out")
        labels, strata = {}, {}
        for split, raw in raws.items():
            labels[split], strata[split] = _texts(raw, self.columns(dataset)[0], results)
        return Labels((), labels, strata)


def _texts(raw: RawTable, column: str, results: CheckResults) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return the correct texts of each row as tuples, shape (rows,), and its stratum: 0, `EMPTY` or `UNCLEAR`."""
    cells = raw.cells(column)
    texts = np.empty(len(cells), dtype=object)
    texts[:] = [tuple(cell) if isinstance(cell, list) else (cell,) for cell in cells]
    empty = [row for row, given in enumerate(texts) if not given or any(map(_is_blank, given))]
    unclear = set[int]()
    for place in range(max(map(len, texts), default=0)):
        wrong, problems = check_texts(raw, column, [given[place] if place < len(given) else None for given in texts])
        unclear |= wrong
        results.problems += problems if not place else []
        if place and wrong:
            row = min(wrong)
            what = rows_with(raw, sorted(wrong), f"a list with something else than texts in column {column!r}")
            results.problems.append(f"{what}: {shortened(cells[row])}; give texts alone")
    if empty:
        message = rows_with(raw, empty, f"no target text in column {column!r}")
        results.problems.append(f"{message}; fill or remove them")
    strata = np.zeros(len(cells), dtype=np.int64)
    strata[sorted(unclear)] = UNCLEAR
    strata[empty] = EMPTY
    return texts, strata


def _is_blank(text: Any) -> bool:
    return text is None or text != text or (isinstance(text, str) and not text.strip())
