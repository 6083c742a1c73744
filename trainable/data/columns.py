"""Chooses the columns of a table that hold the texts, and checks that the columns with labels are there."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trainable.data.reading.raw_table import RawTable
from trainable.errors import ConfigError
from trainable.metrics.metric import COLUMNS
from trainable.settings.dataset import SEPARATORS, Dataset


@dataclass(frozen=True)
class Columns:
    """The names of the columns that hold the texts, or of the one that holds the images."""

    text: str
    text_b: str | None
    choices: tuple[str, ...] = ()
    """The columns that together are the second text, see `trainable.data.choices`."""

    def texts(self) -> list[str]:
        """Return all columns with texts."""
        return [self.text, *self.choices] if self.text_b is None else [self.text, self.text_b]


def choose_columns(dataset: Dataset, raws: Mapping[str, RawTable], labels: Sequence[str]) -> dict[str, Columns]:
    """Return the columns that the settings name, or the default ones, for every split.

    Args:
        dataset: the settings.
        raws: the table of each split.
        labels: the columns that hold labels; every table must have them.

    Raises:
        ConfigError: naming, for all splits, each column that is missing or has two roles.
    """
    chosen: dict[str, Columns] = {}
    problems: list[str] = []
    for split, raw in raws.items():
        columns, wrong = _choose(dataset, raw, labels)
        chosen[split] = columns
        problems += wrong
    if problems:
        raise ConfigError(problems)
    return chosen


def _choose(dataset: Dataset, raw: RawTable, labels: Sequence[str]) -> tuple[Columns, list[str]]:
    """Return the columns of one table, and a problem for each column that is missing or has two roles."""
    present = list(raw.columns)
    if dataset.has_images:
        return _checked(raw, Columns(dataset.image or "image", None), "image", labels, dataset.group)
    has_pair = {"text_a", "text_b"} <= set(present)
    choices, usual = dataset.choice_columns, COLUMNS.get(dataset.task, {})
    default = usual.get("text", "text") if "text" not in present else "text"
    text = dataset.text or ("text_a" if has_pair and "text" not in present else default)
    is_pair = has_pair and text == "text_a" and not choices and "text_b" not in labels
    text_b = dataset.text_b or ("text_b" if is_pair else usual.get("text_b"))
    return _checked(raw, Columns(text, text_b, choices), "text", labels, dataset.group)


def _checked(
    raw: RawTable, columns: Columns, role: str, labels: Sequence[str], group: str | None
) -> tuple[Columns, list[str]]:
    """Return the columns, and a problem for each one that is missing or has two roles.

    Args:
        raw: the table.
        columns: the chosen columns.
        role: what the first of them holds.
        labels: the columns that hold labels.
        group: the column that holds groups.
    """
    present, others = list(raw.columns), {"text_b": columns.text_b, "group": group}
    roles = [(role, columns.text), *(("label", name) for name in labels)]
    roles += [("choices", name) for name in columns.choices]
    roles += [(r, name) for r, name in others.items() if name]
    problems = [_missing(raw.source, role, name, present) for role, name in roles if name not in present]
    for name, count in Counter(column for _, column in roles).items():
        if count > 1:
            both = " and ".join(role for role, column in roles if column == name)
            problems.append(f"{raw.source}: {both} are both column {name!r}; name different ones")
    return columns, problems


def _missing(source: str, role: str, name: str, present: list[str]) -> str:
    listed = ", ".join(map(repr, present)) if len(str(present)) <= 300 else f"{str(present)[1:300]}..."
    return f"{source}: no column {name!r} for the {role}; there are {listed}; {_advice(role, name, present)}"


def _advice(role: str, name: str, present: list[str]) -> str:
    """Return what to do about a missing column: set the separator, or name another column."""
    for separator, character in SEPARATORS.items():
        if any(name in column.split(character) for column in present if character in column):
            return f"the separator seems to be {character!r}: set `separator: {separator}`"
    close = difflib.get_close_matches(name, present, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"name the right one with `{role}:`"
