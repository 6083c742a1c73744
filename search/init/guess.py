"""Guesses which columns of a table hold the texts and the label, and says why; what is not clear is refused."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search.show.data_settings import dataset_of
from trainable.data.message_text import quoted
from trainable.data.reading.raw_table import RawTable
from trainable.data.reading.read_tables import KINDS
from trainable.errors import ConfigError

MOST_CLASSES = 200
"""A column with more distinct values is not taken for classes."""
LABEL_NAMES = ("label", "labels", "class", "category", "target", "intent", "sentiment", "emotion", "topic", "kind")
NUMBER_NAMES = ("score", "rating", "similarity", "relatedness", "relatedness_score")
TEXT_NAMES = ("text", "sentence", "message", "review", "tweet", "content", "body", "comment", "utterance", "title")
PAIRS = (
    ("text_a", "text_b"),
    ("premise", "hypothesis"),
    ("sentence1", "sentence2"),
    ("sentence_a", "sentence_b"),
    ("sentence_A", "sentence_B"),
    ("question1", "question2"),
    ("question", "sentence"),
    ("text1", "text2"),
)
"""Names of two columns that together are a pair of texts."""

SPLIT_NAMES = {"validation": ("validation", "valid", "val", "dev"), "test": ("test",)}
"""What stands in the place of `train` in the names of files with the other splits."""


@dataclass(frozen=True)
class Guess:
    """The columns of a table that a trial needs."""

    settings: Mapping[str, str]
    """Settings of the data set, as YAML text: the columns, and the task if it is not classification."""
    reasons: Mapping[str, str]
    """Why each was chosen, by the setting's name; none for what the user has set."""


@dataclass(frozen=True)
class _Column:
    """What is known of one column."""

    name: str
    values: Sequence[str]
    """Its cells as text, without the empty ones."""
    numbers: bool
    """Whether all cells are numbers and some are not whole."""

    @property
    def distinct(self) -> int:
        return len(set(self.values))

    @property
    def words(self) -> float:
        """Return the mean number of words; a character of a script without spaces counts as a word."""
        count = sum(len(re.findall(r"[\u2e80-\u9fff\uac00-\ud7af]|\w+", value)) for value in self.values)
        return count / max(len(self.values), 1)

    @property
    def could_be_classes(self) -> bool:
        return not self.numbers and 2 <= self.distinct <= min(MOST_CLASSES, max(2, len(self.values) // 2))

    @property
    def could_be_text(self) -> bool:
        return not self.numbers and self.words >= 2 and not self.could_be_classes


def split_files(file: str) -> dict[str, str]:
    """Return the settings of a data set that name its files.

    Beside a file such as `reviews_train.csv`, files such as `reviews_dev.csv` and `reviews_test.csv` are its other
    splits.

    Raises:
        ConfigError: if the suffix is not that of a table with columns.
    """
    path = Path(file)
    kind = KINDS.get(path.suffix.lower())
    if kind not in ("csv", "json", "parquet"):
        raise ConfigError(f"{file}: must be a CSV, TSV, JSON or Parquet file with a column of labels")
    files = {"train": file}
    for split, names in SPLIT_NAMES.items():
        there = [path.with_name(f"{path.stem.replace('train', name)}{path.suffix}") for name in names]
        if found := [other for other in there if other != path and other.is_file()]:
            files[split] = str(found[0])
    return files if len(files) > 1 else {kind: file}


def guess_columns(raw: RawTable, given: Mapping[str, str]) -> Guess:
    """Guess the columns that the user has not named.

    A column of classes has from 2 to 200 values, each in two rows on average. A column of texts has two words or more
    in a cell. Where several columns could be meant, a usual name decides; else the user must.

    Args:
        raw: the table.
        given: what the user has set, as YAML text, by the name of the setting.

    Raises:
        ConfigError: if no column could be meant, or several.
    """
    columns = [_column(raw, name) for name in raw.columns if name not in given.values()]
    settings, reasons = dict(given), dict[str, str]()
    problems: list[str] = []
    pair = _pair(columns) if "text" not in given else None
    if pair:
        settings |= dict(zip(("text", "text_b"), pair, strict=True))
        reasons["text"] = "a pair of texts, by the names of the columns"
        columns = [column for column in columns if column.name not in pair]
    if "label" not in given:
        try:
            label, why, task = _label(raw.source, columns)
            settings["label"], reasons["label"] = label, why
            if task != "classification":
                settings["task"] = given.get("task", task)
            columns = [column for column in columns if column.name != label]
        except ConfigError as error:
            problems += error.problems
    if "text" not in settings:
        try:
            settings["text"], reasons["text"] = _text(raw.source, columns)
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    order = [name for name in ("task", "text", "text_b", "label") if name in settings]
    return Guess({name: settings[name] for name in dict.fromkeys([*order, *settings])}, reasons)


def check_given(file: str, given: Mapping[str, str]) -> None:
    """Check the settings that the user gives.

    Raises:
        ConfigError: with every mistake in them.
    """
    dataset_of(split_files(file), given)


def _column(raw: RawTable, name: str) -> _Column:
    cells = [cell for cell in raw.cells(name, named=True) if cell is not None and cell == cell and cell != ""]
    numbers = [number for cell in cells if (number := _number(cell)) is not None]
    fractions = len(numbers) == len(cells) > 0 and any(not number.is_integer() for number in numbers)
    return _Column(name, [str(cell) for cell in cells], fractions)


def _number(cell: Any) -> float | None:
    if isinstance(cell, bool):
        return None
    try:
        return float(cell)
    except (TypeError, ValueError):
        return None


def _label(source: str, columns: Sequence[_Column]) -> tuple[str, str, str]:
    """Return the column of the label, the reason, and the task."""
    classes = [column for column in columns if column.could_be_classes]
    numbers = [column for column in columns if column.numbers]
    found = _by_name(classes, LABEL_NAMES) or _by_name(numbers, (*LABEL_NAMES, *NUMBER_NAMES)) or _only(classes)
    if found is None and not classes:
        found = _only(numbers)
    if found is None:
        candidates = classes or numbers
        listed = ", ".join(f"{quoted(c.name)} ({c.distinct} values)" for c in candidates or columns)
        what = "several columns could be the label" if candidates else "no column looks like a label"
        raise ConfigError(
            f"{source}: {what}: {listed}; name it, such as `--set label={(candidates or columns)[0].name}`"
        )
    if found.numbers:
        return found.name, "numbers that are not all whole: a regression", "regression"
    return found.name, f"{found.distinct} distinct values", "classification"


def _pair(columns: Sequence[_Column]) -> tuple[str, str] | None:
    """Return two columns whose names are those of a pair of texts, if there are such."""
    names = {column.name for column in columns if column.words >= 2}
    return next((pair for pair in PAIRS if set(pair) <= names), None)


def _text(source: str, columns: Sequence[_Column]) -> tuple[str, str]:
    """Return the column of the text, and the reason."""
    texts = [column for column in columns if column.could_be_text]
    found = _by_name(texts, TEXT_NAMES) or _only(texts)
    if found is None:
        listed = ", ".join(f"{quoted(c.name)} ({c.words:.0f} words)" for c in texts) or "none has two words in a cell"
        name = texts[0].name if texts else "COLUMN"
        raise ConfigError(
            f"{source}: which column is the text? {listed}; name it, such as `--set text={name}`, "
            "and with `--set text_b=...` the second text of a pair"
        )
    others = [column.name for column in texts if column is not found]
    also = f"; also texts, not used: {', '.join(map(quoted, others))}" if others else ""
    return found.name, f"{found.words:.0f} words on average{also}"


def _by_name(columns: Iterable[_Column], names: Sequence[str]) -> _Column | None:
    """Return the column with the first of these names, in any case of letters."""
    by_name = {column.name.lower(): column for column in columns}
    return next((by_name[name] for name in names if name in by_name), None)


def _only(columns: Sequence[_Column]) -> _Column | None:
    return columns[0] if len(columns) == 1 else None
