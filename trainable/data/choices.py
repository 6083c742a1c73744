"""The choices of a row as one text, so that a question and its choices are a pair of texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

BETWEEN = "\N{INFORMATION SEPARATOR ONE}"
"""What is between two choices of a row; inside a choice a blank replaces it."""
NO_CHOICE = -100
"""The label in place of a choice that a row does not have."""


def joined_choices(columns: Sequence[Sequence[Any]]) -> list[Any]:
    """Return the choices of each row as one text; a row with a choice that is no text stays a list.

    Args:
        columns: the cells of each column, one for each choice; or those of one column with a list in each cell.
    """
    if len(columns) > 1:
        return [_joined(list(row)) for row in zip(*columns, strict=True)]
    return [_joined(cell) if isinstance(cell, list) else cell for cell in columns[0]]


def _joined(choices: list[Any]) -> Any:
    texts = ["" if choice is None or choice != choice else choice for choice in choices]  # pandas writes NaN
    if not all(isinstance(text, str) for text in texts):
        return choices
    return BETWEEN.join(text.replace(BETWEEN, " ") if text.strip() else "" for text in texts)


def choices_of(text: str) -> list[str]:
    """Return the choices of a row; a choice that is missing is empty."""
    return text.split(BETWEEN)


def choices_there(texts: Sequence[str], width: int | None = None) -> NDArray[np.bool_]:
    """Return which choices rows have, shape (N, K).

    Args:
        texts: of the rows, as `joined_choices` returns them.
        width: K; None for the most choices of a row.
    """
    rows = [choices_of(text) for text in texts]
    there = np.zeros((len(rows), width or max(map(len, rows), default=1)), dtype=bool)
    for row, choices in enumerate(rows):
        there[row, : len(choices)] = [bool(choice) for choice in choices]
    return there
