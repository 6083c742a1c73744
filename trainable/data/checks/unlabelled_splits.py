"""Splits whose labels are withheld, as in the test sets of benchmarks: all -1, or empty, or no such column."""

from __future__ import annotations

from collections.abc import Mapping

from trainable.data.check_results import Findings
from trainable.data.reading.raw_table import RawTable
from trainable.data.reading.saved_splits import SPLITS
from trainable.settings.dataset import Dataset


def without_unlabelled(dataset: Dataset, raws: Mapping[str, RawTable], found: Findings) -> dict[str, RawTable]:
    """Leave out validation and test splits that have no labels, and add to `found` why.

    A test split that came with the data set and that nobody asked for is left out with a note. One that a setting
    names is a mistake, and so is a validation split, which decides the search.
    """
    kept = dict(raws)
    for split in SPLITS[1:]:
        if split not in raws or not (how := _without_labels(raws[split], raws["train"], dataset.label)):
            continue
        raw = kept.pop(split)
        what = f"{raw.source}: none of the {raw.rows} rows of the {split} split has a label: {how}"
        if split == "test" and not dataset.asks_for(split):
            found.notes.append(f"{what}; the split is left out")
        elif dataset.folder or dataset.hub:
            found.problems.append(f"{what}; name another with `splits`, or leave it out: `splits: {{{split}: none}}`")
        else:
            found.problems.append(f"{what}; name another file, or leave the setting `{split}` out")
    return kept


def _without_labels(raw: RawTable, train: RawTable, label: str) -> str:
    """How it shows that nothing in a split is labelled; empty where something is."""
    if label not in train.columns or not raw.rows:
        return ""
    if label not in raw.columns:
        return f"there is no column {label!r}"
    values = {_value(cell) for cell in raw.cells(label)}
    if values == {""}:
        return f"column {label!r} is empty"
    if values <= {"", "-1"} and "-1" not in map(_value, train.cells(label)):
        return f"column {label!r} holds nothing but -1"
    return ""


def _value(cell: object) -> str:
    if cell is None or cell != cell:  # NaN stands for nothing in tables that pandas wrote
        return ""
    return str(cell).strip().removesuffix(".0")
