"""From a data set's settings to its checked splits: texts, class numbers, names and a fingerprint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainable import checks
from trainable.dataset import LEFT_OUT, Dataset
from trainable.empty import empty_rows, without_empty
from trainable.errors import ConfigError
from trainable.findings import Findings
from trainable.labels import read_labels
from trainable.raw import RawTable
from trainable.reading import read_raw
from trainable.rows import Origin, Table, overlap
from trainable.sentences import short
from trainable.splits import split_rows
from trainable.unlabelled import without_unlabelled
from trainable.variants import variants_note

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
    found = Findings(unlabelled, notes)
    raws = without_empty(dataset, raws, {split: columns.texts() for split, columns in chosen.items()}, found)
    labels = read_labels(dataset, raws, found)
    names, problems = labels.names, found.problems
    origins = {
        split: _checked(dataset, raw, chosen[split], labels.of_rows[split], found) for split, raw in raws.items()
    }
    parts, alone = _split(dataset, origins, names)
    problems += alone
    problems += checks.check_splits(parts, names)
    notes += [note for raw in raws.values() for note in raw.notes]
    counts = np.bincount(np.concatenate([part.table.labels for part in parts.values()]), minlength=len(names))
    notes += variants_note(dict(zip(names, counts.tolist(), strict=True)), named=dataset.labels is not None)
    notes += [note for split, part in parts.items() for note in checks.notes_on(split, part)]
    for is_error, sentence in checks.check_overlap(parts, dataset.max_overlap):
        (problems if is_error else notes).append(sentence)
    counts = np.bincount(parts["train"].table.labels, minlength=len(names))
    absent = [names[i] for i in np.flatnonzero(counts == 0).tolist() if not checks.may_lack(parts["train"], i)]
    if absent and len(parts["train"].table):
        notes.append(f"train: no row has the label {', '.join(map(short, absent[:5]))} ({len(absent)} such labels)")
    tables = {split: part.table for split, part in parts.items()}
    print_ = _fingerprint(tables, names)
    name = short_name(dataset)
    test = tables.get("test")
    columns = tuple(chosen["train"].texts())
    return Splits(name, tables["train"], tables["validation"], test, names, print_, tuple(notes), columns), problems


def _checked(
    dataset: Dataset, raw: RawTable, columns: checks.Columns, numbers: NDArray[np.int64], found: Findings
) -> Origin:
    """The rows of a split that a trial can use; `numbers` are the classes of all."""
    texts = [raw.cells(column) for column in columns.texts()]
    usable = numbers >= 0
    for column, cells in zip(columns.texts(), texts, strict=True):
        bad, problems = checks.check_texts(raw, column, cells)
        usable[list(bad)] = False
        found.problems += problems
        if dataset.empty == "error":
            usable[empty_rows(cells)] = False
    kept = np.flatnonzero(usable)
    chosen = [["" if cells[row] is None else cells[row] for row in kept.tolist()] for cells in texts]
    table = Table(chosen[0], chosen[1] if len(chosen) > 1 else None, numbers[kept])
    return Origin(table, raw, kept, frozenset(numbers[~usable].tolist()))


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
