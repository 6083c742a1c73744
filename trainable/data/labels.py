"""The cells of the label column as classes: how a value may be spelled, what it is called, and the classes' order."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainable.data.check_results import Findings
from trainable.data.message_text import at, quoted, short, some
from trainable.data.reading.raw_table import RawTable, is_unicode
from trainable.settings.dataset import Dataset

EMPTY, UNCLEAR = -1, -2
"""In place of a class: the cell is empty; the cell holds what is no class."""
_WHOLE = re.compile(r"(-?(?:0|[1-9][0-9]{0,17}))(?:\.0*)?")  # a leading zero, as in 007, makes it a name
_EXACT = 2**53  # from here on, not every whole number is a floating-point one


@dataclass(frozen=True)
class Labels:
    """The classes of a data set, and of each row of its files."""

    names: tuple[str, ...]
    of_rows: dict[str, NDArray[np.int64]]
    """By split, (rows of the file,): the class, or `EMPTY` or `UNCLEAR`."""


def read_labels(dataset: Dataset, raws: Mapping[str, RawTable], found: Findings) -> Labels:
    """Number the labels of all splits, and add to `found` what is wrong with them.

    A value means the class that is called as it stands in the file; if there is none, the class of its plain spelling:
    1 for 1.0, true for True.
    """
    named = not isinstance(dataset.labels, list)
    cells = {split: raw.cells(dataset.label, named) for split, raw in raws.items()}
    texts = {split: [_text(cell) for cell in column] for split, column in cells.items()}
    values = {text for column in texts.values() for text in column if text}
    names = _names(dataset, raws["train"].class_names.get(dataset.label), values)
    place = {name: number for number, name in enumerate(dict.fromkeys(names.values()))}
    number = {value: place[name] for value, name in _by_spelling(values, names).items()}
    of_rows = {}
    for split, raw in raws.items():
        of_rows[split] = np.array(
            [EMPTY if text == "" else number.get(text or "", UNCLEAR) for text in texts[split]], dtype=np.int64
        )
        found.problems += _problems(dataset, raw, cells[split], of_rows[split], names)
    respelled = sorted(_respelled(cells.values()).intersection(number).difference(names))
    if respelled:
        kind = "a whole number" if _WHOLE.fullmatch(respelled[0]) else "a truth value"
        found.notes.append(
            f"labels: {quoted(respelled[0])} is read as {plain(respelled[0])}: {kind} is one label in all its spellings"
        )
    return Labels(tuple(place), of_rows)


def _respelled(columns: Iterable[Sequence[Any]]) -> set[str]:
    """Values that may not be in their plain spelling; a boolean has no other one in a file."""
    cells = (cell for column in columns for cell in column if isinstance(cell, str | float | Decimal))
    return {text for cell in cells if (text := _text(cell))}


def _text(cell: Any) -> str | None:
    """A cell as a value of `labels` would be written; empty for an empty cell, none for what is no label."""
    if cell is None or cell != cell:  # pandas writes an empty cell among numbers as NaN
        return ""
    if isinstance(cell, str):
        return (cell if is_unicode(cell) else None) if cell.strip() else ""
    if isinstance(cell, float | Decimal):
        number = float(cell)
        return str(cell) if number.is_integer() and abs(number) < _EXACT else None
    return str(cell) if isinstance(cell, int) else None


def plain(value: str) -> str:
    """The one spelling that stands for all of a value: 1 for 1.0, true for True; other text as it is."""
    whole = _WHOLE.fullmatch(value)
    if whole:
        return str(int(whole[1]))
    return value.lower() if value.lower() in ("true", "false") else value


def _names(dataset: Dataset, classes: Sequence[str] | None, values: Iterable[str]) -> Mapping[str, str]:
    """From the value in the cell to the name of its class, in the order of the classes."""
    if isinstance(dataset.labels, dict):
        return dataset.labels
    if dataset.labels is not None:
        return {str(i): name for i, name in enumerate(dataset.labels)}
    if classes is None:
        whole = all(_WHOLE.fullmatch(value) for value in values)
        classes = _in_order({plain(value) for value in values} if whole else set(values))
    return {name: name for name in classes}


def _by_spelling(values: Iterable[str], names: Mapping[str, str]) -> dict[str, str]:
    """The name of each value that has one."""
    plainly = {plain(value): name for value, name in reversed(list(names.items()))}  # of two spellings the first counts
    named = {value: names.get(value, plainly.get(plain(value))) for value in values}
    return {value: name for value, name in named.items() if name is not None}


def _in_order(values: set[str]) -> list[str]:
    try:
        return sorted(values, key=lambda value: (int(value), value))
    except ValueError:
        return sorted(values)


def _problems(
    dataset: Dataset, raw: RawTable, cells: Sequence[Any], numbers: NDArray[np.int64], names: Mapping[str, str]
) -> Iterable[str]:
    empty, unclear = (np.flatnonzero(numbers == kind).tolist() for kind in (EMPTY, UNCLEAR))
    other = [row for row in unclear if _text(cells[row]) is None]
    strange = [row for row in unclear if _text(cells[row]) is not None]
    if empty:
        yield at(raw, empty, f"no label in column {dataset.label!r}") + "; fill or remove such rows"
    if other:
        cell = cells[other[0]]
        kind = "half a character, a lone surrogate" if isinstance(cell, str) else type(cell).__name__
        yield (
            at(raw, other, f"no possible label in column {dataset.label!r}")
            + f": {short(cell)} ({kind}); labels are strings, whole numbers (1.0 is 1) or booleans"
        )
    if strange:
        who = "the column's class names do" if dataset.labels is None else "`labels` does"
        known = "the class names are" if dataset.labels is None else "`labels` names"
        counts = Counter(str(cells[row]) for row in strange)
        yield (
            f"{at(raw, strange, f'a label that {who} not name')}: {short(str(cells[strange[0]]))} ({some(counts)}); "
            f"{known} {some(dict.fromkeys(names))}"
        )
