"""Rows with an empty text: refused, left out or used as they are, as the setting `empty` says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trainable.data.check_results import Findings
from trainable.data.message_text import at
from trainable.data.reading.raw_table import RawTable
from trainable.settings.dataset import Dataset


def without_empty(
    dataset: Dataset, raws: Mapping[str, RawTable], texts: Mapping[str, Sequence[str]], found: Findings
) -> dict[str, RawTable]:
    """The tables without the rows that shall be left out; `found` is told of every empty text.

    Args:
        dataset: the settings.
        raws: the table of each split.
        texts: the columns of each split that hold texts.
        found: gets a note or a problem for each column.
    """
    kept = dict(raws)
    for split, raw in raws.items():
        dropped: set[int] = set()
        for column in texts[split]:
            rows = empty_rows(raw.cells(column))
            if not rows:
                continue
            what = at(raw, rows, f"no text in column {column!r}")
            if dataset.empty == "error":
                found.problems.append(
                    f"{what}; fill or remove such rows, or set `empty: keep` to use them as they are, "
                    "`empty: drop` to leave them out"
                )
                continue
            found.notes.append(
                f"{what}; {'kept' if dataset.empty == 'keep' else 'left out'} (`empty: {dataset.empty}`)"
            )
            dropped.update(rows if dataset.empty == "drop" else ())
        if dropped:
            kept[split] = raw.take(np.setdiff1d(np.arange(raw.rows), list(dropped)))
    return kept


def empty_rows(cells: Sequence[Any]) -> list[int]:
    """The rows (0-based) whose cell is empty or blank."""
    return [i for i, cell in enumerate(cells) if cell is None or (isinstance(cell, str) and not cell.strip())]
