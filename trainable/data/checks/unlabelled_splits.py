"""Drops splits without labels, such as the test sets of benchmarks: all -1, all empty, or no label column."""

from __future__ import annotations

from collections.abc import Mapping

from trainable.data.check_results import CheckResults
from trainable.data.reading.raw_table import RawTable
from trainable.data.reading.saved_splits import SPLITS
from trainable.settings.dataset import Dataset


def drop_unlabelled_splits(
    dataset: Dataset, raws: Mapping[str, RawTable], label: str, results: CheckResults
) -> dict[str, RawTable]:
    """Return the tables without validation and test splits that have no labels; `results` gets the reasons.

    `label` is a column of labels. For a test split that no setting names, the reason is a note. For a test split that a
    setting names, and for every validation split (it decides the search), the reason is a problem.
    """
    kept = dict(raws)
    for split in SPLITS[1:]:
        if split not in raws or not (reason := _why_unlabelled(raws[split], raws["train"], label)):
            continue
        raw = kept.pop(split)
        message = f"{raw.source}: none of the {raw.rows} rows of the {split} split has a label: {reason}"
        if split == "test" and not dataset.names_split(split):
            results.notes.append(f"{message}; the split is left out")
        elif dataset.folder or dataset.hub:
            advice = f"name another with `splits`, or leave it out: `splits: {{{split}: none}}`"
            results.problems.append(f"{message}; {advice}")
        else:
            results.problems.append(f"{message}; name another file, or leave the setting `{split}` out")
    return kept


def _why_unlabelled(raw: RawTable, train: RawTable, label: str) -> str:
    """Return how one can see that a split has no labels; empty if a row has one."""
    if label not in train.columns or not raw.rows:
        return ""
    if label not in raw.columns:
        return f"there is no column {label!r}"
    values = {_value(cell) for cell in raw.cells(label)}
    if values == {""}:
        return f"column {label!r} is empty"
    if values <= {"", "-1"} and "-1" not in map(_value, train.cells(label)):
        return f"column {label!r} holds only -1"
    return ""


def _value(cell: object) -> str:
    if cell is None or cell != cell:  # pandas writes empty cells as NaN
        return ""
    return str(cell).strip().removesuffix(".0")
