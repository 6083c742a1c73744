"""Which columns of a table hold the texts and the label."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from trainable.data.reading.raw_table import RawTable
from trainable.errors import ConfigError
from trainable.settings.dataset import Dataset


@dataclass(frozen=True)
class Columns:
    """The columns of a table that hold the texts and the label."""

    text: str
    text_b: str | None
    label: str

    def texts(self) -> list[str]:
        """The one or two text columns."""
        return [self.text] if self.text_b is None else [self.text, self.text_b]


def choose_columns(dataset: Dataset, raw: RawTable) -> Columns:
    """The columns a data set names, or the default ones.

    Raises:
        ConfigError: naming each column that is missing or used twice.
    """
    there = list(raw.columns)
    pair = {"text_a", "text_b"} <= set(there)
    text = dataset.text or ("text_a" if pair and "text" not in there else "text")
    text_b = dataset.text_b or ("text_b" if pair and text == "text_a" else None)
    columns = Columns(text, text_b, dataset.label)
    wanted = {"text": text, "label": columns.label} | ({"text_b": text_b} if text_b else {})
    problems = [_missing(raw.source, role, name, there) for role, name in wanted.items() if name not in there]
    for name, count in Counter(wanted.values()).items():
        if count > 1:
            roles = " and ".join(role for role, column in wanted.items() if column == name)
            problems.append(f"{raw.source}: {roles} are both column {name!r}; name different ones")
    if problems:
        raise ConfigError(problems)
    return columns


def columns_of(dataset: Dataset, raws: Mapping[str, RawTable]) -> dict[str, Columns]:
    """The columns of every split.

    Raises:
        ConfigError: naming each column that is missing or used twice, of all splits.
    """
    chosen: dict[str, Columns] = {}
    problems: list[str] = []
    for split, raw in raws.items():
        try:
            chosen[split] = choose_columns(dataset, raw)
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    return chosen


def _missing(source: str, role: str, name: str, there: list[str]) -> str:
    close = difflib.get_close_matches(name, there, n=1, cutoff=0.5)
    way_out = f"did you mean {close[0]!r}?" if close else f"name the right one with `{role}:`"
    listed = ", ".join(map(repr, there)) if len(str(there)) <= 300 else f"{str(there)[1:300]}..."
    return f"{source}: no column {name!r} for the {role}; there are {listed}; {way_out}"
