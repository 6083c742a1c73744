"""From a data set's settings to its checked splits: texts, class numbers, names and a fingerprint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trainable import checks
from trainable.dataset import LEFT_OUT, Dataset
from trainable.errors import ConfigError
from trainable.raw import RawTable
from trainable.reading import read_raw
from trainable.rows import Origin, Table, overlap
from trainable.splits import split_rows
from trainable.unlabelled import without_unlabelled

__all__ = ["Splits", "Table", "examine", "overlap", "read_splits"]


@dataclass(frozen=True)
class Splits:
    """A data set, ready to be tokenised."""

    name: str
    """Short, fit for a public model card: never a path."""
    train: Table
    validation: Table
    test: Table | None
    label_names: tuple[str, ...]
    fingerprint: str
    """SHA-256 (hex) over texts, labels, label names and the split."""
    notes: tuple[str, ...]
    """What is worth knowing and no error."""
    text_columns: tuple[str, ...]
    """What the columns with the texts are called."""

    def tables(self) -> dict[str, Table]:
        """The splits there are, by name."""
        return {"train": self.train, "validation": self.validation} | ({"test": self.test} if self.test else {})


def read_splits(dataset: Dataset, roots: Sequence[Path] = (Path(),)) -> Splits:
    """Read, check and split a data set.

    Args:
        dataset: which files, columns and labels.
        roots: folders in which relative file names are looked up, in order.

    Raises:
        ConfigError: with everything that is wrong, each sentence beginning with the file's name.
    """
    splits, problems = examine(dataset, roots)
    if problems:
        raise ConfigError(problems)
    return splits


def examine(dataset: Dataset, roots: Sequence[Path] = (Path(),)) -> tuple[Splits, list[str]]:
    """Like `read_splits`, but goes on without the rows that are wrong.

    Returns:
        the splits of the remaining rows, and everything that is wrong.

    Raises:
        ConfigError: where files or columns are missing, so that there are no rows at all.
    """
    raws, notes, unlabelled = without_unlabelled(dataset, read_raw(dataset, roots))
    chosen = _chosen(dataset, raws)
    origins, names, problems = _checked(dataset, raws, chosen)
    problems += unlabelled
    parts, alone = _split(dataset, origins, names)
    problems += alone
    problems += checks.check_splits(parts, names)
    notes += [note for raw in raws.values() for note in raw.notes]
    notes += [note for split, part in parts.items() for note in checks.notes_on(split, part)]
    for is_error, sentence in checks.check_overlap(parts, dataset.max_overlap):
        (problems if is_error else notes).append(sentence)
    counts = np.bincount(parts["train"].table.labels, minlength=len(names))
    absent = [names[i] for i in np.flatnonzero(counts == 0)]
    if absent and len(parts["train"].table):
        notes.append(f"train: no row has the label {', '.join(map(repr, absent[:5]))} ({len(absent)} such labels)")
    tables = {split: part.table for split, part in parts.items()}
    print_ = _fingerprint(tables, names)
    name = short_name(dataset)
    test = tables.get("test")
    columns = tuple(chosen["train"].texts())
    return Splits(name, tables["train"], tables["validation"], test, names, print_, tuple(notes), columns), problems


def _checked(
    dataset: Dataset, raws: Mapping[str, RawTable], chosen: Mapping[str, checks.Columns]
) -> tuple[dict[str, Origin], tuple[str, ...], list[str]]:
    """Drop bad rows and number the labels: the rows by split, the label names, the problems."""
    cells = {split: _cells(dataset, raw, chosen[split]) for split, raw in raws.items()}
    problems = [problem for *_, wrong in cells.values() for problem in wrong]
    labels = {split: column for split, (_, column, _) in cells.items()}
    renamed = _renaming(dataset, raws["train"].class_names.get(dataset.label), labels)
    names = tuple(dict.fromkeys(renamed.values()))
    origins = {}
    for split, raw in raws.items():
        problems += checks.check_known(raw, labels[split], renamed)
        origins[split] = _origin(raw, cells[split][0], labels[split], renamed, names)
    return origins, names, problems


def _chosen(dataset: Dataset, raws: Mapping[str, RawTable]) -> dict[str, checks.Columns]:
    chosen: dict[str, checks.Columns] = {}
    problems: list[str] = []
    for split, raw in raws.items():
        try:
            chosen[split] = checks.choose_columns(dataset, raw)
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    return chosen


def _cells(
    dataset: Dataset, raw: RawTable, columns: checks.Columns
) -> tuple[list[list[Any]], list[str | None], list[str]]:
    """The text columns, the labels (none for a row that is wrong), and what is wrong."""
    texts = [raw.cells(column) for column in columns.texts()]
    bad: set[int] = set()
    problems: list[str] = []
    for column, values in zip(columns.texts(), texts, strict=True):
        rows, wrong = checks.check_texts(raw, column, values)
        bad |= rows
        problems += wrong
    labels = raw.cells(columns.label, named=not isinstance(dataset.labels, list))
    rows, wrong = checks.check_labels(raw, columns.label, labels)
    bad |= rows
    return texts, [None if i in bad else str(label) for i, label in enumerate(labels)], problems + wrong


def _renaming(dataset: Dataset, classes: list[str] | None, labels: Mapping[str, list[str | None]]) -> Mapping[str, str]:
    """From the label in the cell to the name of its class, in the order of the classes."""
    if isinstance(dataset.labels, dict):
        return dataset.labels
    if dataset.labels is not None:
        return {str(i): name for i, name in enumerate(dataset.labels)}
    if classes is not None:
        return {name: name for name in classes}
    values = {label for column in labels.values() for label in column if label is not None}
    return {value: value for value in _in_order(values)}


def _in_order(values: set[str]) -> list[str]:
    try:
        return sorted(values, key=lambda value: (int(value), value))
    except ValueError:
        return sorted(values)


def _origin(
    raw: RawTable, texts: list[list[Any]], labels: list[str | None], renamed: Mapping[str, str], names: tuple[str, ...]
) -> Origin:
    place = {name: i for i, name in enumerate(names)}
    number = {value: place[name] for value, name in renamed.items()}
    kept = [i for i, label in enumerate(labels) if label is not None and label in number]
    ids = np.array([number[str(labels[i])] for i in kept], dtype=np.int64)
    columns = [[column[i] for i in kept] for column in texts]
    table = Table(columns[0], columns[1] if len(columns) > 1 else None, ids)
    return Origin(table, raw, np.array(kept, dtype=np.int64))


def _split(dataset: Dataset, origins: dict[str, Origin], names: tuple[str, ...]) -> tuple[dict[str, Origin], list[str]]:
    """Take the splits that are not given from the training rows."""
    one_table = len(origins) == 1 and dataset.train is None
    one_table &= dataset.saved_splits().get("test") != LEFT_OUT
    test_fraction = dataset.test_fraction if dataset.test_fraction is not None else 0.1 if one_table else 0.0
    fractions = {} if "validation" in origins else {"validation": dataset.validation_fraction}
    if "test" not in origins and test_fraction:
        fractions["test"] = test_fraction
    if not fractions:
        return origins, []
    whole = origins["train"]
    keys = list(whole.table.keys())
    problems = list(checks.check_alone(whole.raw.source, keys, whole, names, len(fractions) + 1))
    rows = split_rows(keys, whole.table.labels, list(fractions.values()), dataset.split_seed)
    parts = {split: whole.take(r) for split, r in zip(["train", *fractions], rows, strict=True)} | {
        split: part for split, part in origins.items() if split != "train"
    }
    return {split: parts[split] for split in ("train", "validation", "test") if split in parts}, problems


def _fingerprint(tables: Mapping[str, Table], names: tuple[str, ...]) -> str:
    digest = hashlib.sha256(json.dumps(names).encode())
    for split, table in tables.items():
        digest.update(json.dumps([split, table.text, table.text_b, table.labels.tolist()]).encode())
    return digest.hexdigest()


def short_name(dataset: Dataset) -> str:
    """What people call a data set: its hub name, or its file's or folder's, never a path."""
    if dataset.hub:
        return dataset.hub
    path = Path(dataset.csv or dataset.json_ or dataset.parquet or dataset.folder or dataset.train or "")
    stem = path.name if dataset.folder else path.stem
    if dataset.train:  # train.csv says nothing, its folder may; reviews_train.csv says reviews
        stem = stem.removesuffix("train").strip("._- ") or path.parent.name
    return stem or "train"
