"""Turns the cells of the label column into classes: their spelling, their names and their order."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainable.data.check_results import CheckResults
from trainable.data.label_reader import EMPTY, UNCLEAR, Labels
from trainable.data.message_text import first_few, quoted, rows_with, shortened
from trainable.data.reading.raw_table import RawTable, is_encodable
from trainable.settings.dataset import Dataset

_WHOLE_NUMBER = re.compile(r"(-?(?:0|[1-9][0-9]{0,17}))(?:\.0*)?")  # 007 is a name: it starts with zero
_EXACT = 2**53  # from here on, floats cannot hold every whole number


def read_classes(dataset: Dataset, raws: Mapping[str, RawTable], results: CheckResults) -> Labels:
    """Turn the label cells of all splits into class numbers, and add mistakes to `results`.

    A cell's value is the class with exactly this name. If there is none, it is the class whose plain spelling is the
    same, such as 1 for 1.0 and true for True.
    """
    named = not isinstance(dataset.labels, list)
    cells = {split: raw.cells(dataset.label, named) for split, raw in raws.items()}
    values = {split: [_value(cell) for cell in column] for split, column in cells.items()}
    distinct = {value for column in values.values() for value in column if value}
    names = _names_of_values(dataset, raws["train"].class_names.get(dataset.label), distinct)
    ordered = _positive_last(list(dict.fromkeys(names.values())), dataset.positive, results)
    number_of_name = {name: number for number, name in enumerate(ordered)}
    numbers = {value: number_of_name[name] for value, name in _match_spellings(distinct, names).items()}
    of_rows = {}
    for split, raw in raws.items():
        of_rows[split] = np.array(
            [EMPTY if value == "" else numbers.get(value or "", UNCLEAR) for value in values[split]], dtype=np.int64
        )
        results.problems += _problems(dataset, raw, cells[split], of_rows[split], names)
    respelled = sorted(_not_boolean(cells.values()).intersection(numbers).difference(names))
    if respelled:
        value = respelled[0]
        kind = "a whole number" if _WHOLE_NUMBER.fullmatch(value) else "a truth value"
        results.notes.append(
            f"labels: {quoted(value)} is read as {plain_spelling(value)}: {kind} is one label in all its spellings"
        )
    return Labels(tuple(number_of_name), of_rows, of_rows)


def _not_boolean(columns: Iterable[Sequence[Any]]) -> set[str]:
    """Return the values of all cells except booleans: a boolean has only one spelling in a file."""
    cells = (cell for column in columns for cell in column if isinstance(cell, str | float | Decimal))
    return {value for cell in cells if (value := _value(cell))}


def _value(cell: Any) -> str | None:
    """Return a cell as a key of the setting `labels`; "" for an empty cell, None for a cell that cannot be a label."""
    if cell is None or cell != cell:  # pandas writes empty cells among numbers as NaN
        return ""
    if isinstance(cell, str):
        return (cell if is_encodable(cell) else None) if cell.strip() else ""
    if isinstance(cell, float | Decimal):
        number = float(cell)
        return str(cell) if number.is_integer() and abs(number) < _EXACT else None
    return str(cell) if isinstance(cell, int) else None


def plain_spelling(value: str) -> str:
    """Return the plain spelling of a value: 1 for 1.0, true for True; other text as it is."""
    whole = _WHOLE_NUMBER.fullmatch(value)
    if whole:
        return str(int(whole[1]))
    return value.lower() if value.lower() in ("true", "false") else value


def _names_of_values(dataset: Dataset, classes: Sequence[str] | None, values: Iterable[str]) -> Mapping[str, str]:
    """Map each cell value to the name of its class, in the order of the classes.

    Args:
        dataset: the settings.
        classes: the class names that the file stores, if it does.
        values: all values of the label column. Without other names, they are the names.
    """
    if isinstance(dataset.labels, dict):
        return dataset.labels
    if dataset.labels is not None:
        return {str(i): name for i, name in enumerate(dataset.labels)}
    if classes is None:
        all_numbers = all(_WHOLE_NUMBER.fullmatch(value) for value in values)
        classes = _sorted({plain_spelling(value) for value in values} if all_numbers else set(values))
    return {name: name for name in classes}


def _positive_last(names: list[str], positive: str | None, results: CheckResults) -> list[str]:
    """Return two names with that of the positive class as the second; add a problem if that is not possible."""
    if positive is None:
        return names
    if positive not in names:
        results.problems.append(
            f"positive: there is no label {quoted(positive)}; the labels are {first_few(dict.fromkeys(names))}"
        )
    elif len(names) != 2:
        results.problems.append(f"positive: is for two labels, and there are {len(names)}; leave it out")
    return sorted(names, key=lambda name: name == positive)


def _match_spellings(values: Iterable[str], names: Mapping[str, str]) -> dict[str, str]:
    """Map each value that has a class to the name of this class, in whatever spelling."""
    # Reversed: if two keys have the same plain spelling, the first one wins.
    by_plain = {plain_spelling(value): name for value, name in reversed(list(names.items()))}
    named = {value: names.get(value, by_plain.get(plain_spelling(value))) for value in values}
    return {value: name for value, name in named.items() if name is not None}


def _sorted(values: set[str]) -> list[str]:
    """Sort as numbers if all values are numbers, else as text."""
    try:
        return sorted(values, key=lambda value: (int(value), value))
    except ValueError:
        return sorted(values)


def _problems(
    dataset: Dataset, raw: RawTable, cells: Sequence[Any], classes: NDArray[np.int64], names: Mapping[str, str]
) -> Iterable[str]:
    """Yield a problem for each kind of cell without a class: empty, impossible as a label, or not named."""
    empty, unclear = (np.flatnonzero(classes == kind).tolist() for kind in (EMPTY, UNCLEAR))
    impossible = [row for row in unclear if _value(cells[row]) is None]
    unnamed = [row for row in unclear if _value(cells[row]) is not None]
    if empty:
        yield rows_with(raw, empty, f"no label in column {dataset.label!r}") + "; fill or remove such rows"
    if impossible:
        cell = cells[impossible[0]]
        kind = "half a character, a lone surrogate" if isinstance(cell, str) else type(cell).__name__
        yield (
            rows_with(raw, impossible, f"no possible label in column {dataset.label!r}")
            + f": {shortened(cell)} ({kind}); labels are strings, whole numbers (1.0 is 1) or booleans"
        )
    if unnamed:
        who = "the column's class names do" if dataset.labels is None else "`labels` does"
        known = "the class names are" if dataset.labels is None else "`labels` names"
        counts = Counter(str(cells[row]) for row in unnamed)
        message = rows_with(raw, unnamed, f"a label that {who} not name")
        yield (
            f"{message}: {shortened(str(cells[unnamed[0]]))} ({first_few(counts)}); "
            f"{known} {first_few(dict.fromkeys(names))}"
        )
