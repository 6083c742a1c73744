"""From a data set's settings to its checked splits: texts, class numbers, names and a fingerprint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainable.data.check_results import Findings
from trainable.data.checks import splits as checks
from trainable.data.checks.empty_texts import empty_rows, without_empty
from trainable.data.checks.similar_labels import variants_note
from trainable.data.checks.unlabelled_splits import without_unlabelled
from trainable.data.columns import Columns, columns_of
from trainable.data.examples import Origin, Table, overlap
from trainable.data.labels import read_labels
from trainable.data.reading.raw_table import RawTable
from trainable.data.reading.read_tables import read_raw
from trainable.data.stratified_split import split_rows
from trainable.errors import ConfigError
from trainable.settings.dataset import LEFT_OUT, Dataset

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
    found = Findings()
    raws = without_unlabelled(dataset, read_raw(dataset, roots), found)
    columns = columns_of(dataset, raws)
    raws = without_empty(dataset, raws, {split: chosen.texts() for split, chosen in columns.items()}, found)
    labels = read_labels(dataset, raws, found)
    origins = {
        split: _usable(dataset, raw, columns[split], labels.of_rows[split], found) for split, raw in raws.items()
    }
    parts = _split(dataset, origins, labels.names, found)
    found.problems += checks.check_splits(parts, labels.names)
    found.notes += [note for raw in raws.values() for note in raw.notes]
    found.notes += variants_note(checks.counts_of(parts.values(), labels.names), named=dataset.labels is not None)
    found.notes += [note for split, part in parts.items() for note in checks.notes_on(split, part)]
    for is_error, sentence in checks.check_overlap(parts, dataset.max_overlap):
        (found.problems if is_error else found.notes).append(sentence)
    found.notes += checks.absent_note(parts["train"], labels.names)
    tables = {split: part.table for split, part in parts.items()}
    splits = Splits(
        name=short_name(dataset),
        train=tables["train"],
        validation=tables["validation"],
        test=tables.get("test"),
        label_names=labels.names,
        fingerprint=_fingerprint(tables, labels.names),
        notes=tuple(found.notes),
        text_columns=tuple(columns["train"].texts()),
    )
    return splits, found.problems


def _usable(dataset: Dataset, raw: RawTable, columns: Columns, numbers: NDArray[np.int64], found: Findings) -> Origin:
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


def _split(dataset: Dataset, origins: dict[str, Origin], names: tuple[str, ...], found: Findings) -> dict[str, Origin]:
    """Take the splits that are not given from the training rows."""
    one_table = len(origins) == 1 and dataset.train is None
    one_table &= dataset.saved_splits().get("test") != LEFT_OUT
    test_fraction = dataset.test_fraction if dataset.test_fraction is not None else 0.1 if one_table else 0.0
    fractions = {} if "validation" in origins else {"validation": dataset.validation_fraction}
    if "test" not in origins and test_fraction:
        fractions["test"] = test_fraction
    if not fractions:
        return origins
    whole = origins["train"]
    keys = list(whole.table.keys())
    found.problems += checks.check_alone(whole.raw.source, keys, whole, names, len(fractions) + 1)
    rows = split_rows(keys, whole.table.labels, list(fractions.values()), dataset.split_seed)
    parts = {split: whole.take(r) for split, r in zip(["train", *fractions], rows, strict=True)} | {
        split: part for split, part in origins.items() if split != "train"
    }
    return {split: parts[split] for split in ("train", "validation", "test") if split in parts}


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
