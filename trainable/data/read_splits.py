"""Reads a data set, from its settings to checked splits with texts, labels, label names and a fingerprint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trainable.data.check_results import CheckResults
from trainable.data.checks.images import check_all_images
from trainable.data.checks.splits import check_splits
from trainable.data.checks.texts import CheckedTexts, check_all_texts
from trainable.data.checks.unlabelled_splits import drop_unlabelled_splits
from trainable.data.columns import Columns, choose_columns
from trainable.data.examples import Examples, LocatedExamples
from trainable.data.groups import Groups, read_groups, shared_groups
from trainable.data.label_reader import LabelReader, Labels
from trainable.data.reading.read_tables import read_tables
from trainable.data.sentence_pairs import PAIR_NAMES, pair_problems, sentence_pairs
from trainable.data.stratified_split import split_rows
from trainable.settings.dataset import LEFT_OUT, Dataset


@dataclass(frozen=True)
class Splits:
    """A data set, ready to be tokenised."""

    name: str
    """A short name, never a path: it goes into public model cards."""
    train: Examples
    validation: Examples
    test: Examples | None
    label_names: tuple[str, ...]
    fingerprint: str
    """SHA-256 (hex) over texts, labels, label names and the split."""
    notes: tuple[str, ...]
    """Facts that the user should know. They do not stop a trial."""
    text_columns: tuple[str, ...]
    """Names of the text columns in the training table."""
    cuts_validation: bool = False
    """Whether the validation rows were taken from the training table here."""

    def by_name(self) -> dict[str, Examples]:
        """Return the splits by name; `test` only if there is one."""
        return {"train": self.train, "validation": self.validation} | ({"test": self.test} if self.test else {})


def read_splits_and_problems(
    dataset: Dataset, reader: LabelReader, data_folders: Sequence[Path] = (Path(),)
) -> tuple[Splits, list[str]]:
    """Read, check and split a data set; leave out wrong rows.

    Args:
        dataset: which files, columns and labels.
        reader: reads the labels of its task.
        data_folders: folders in which relative file names are looked up, in order.

    Returns:
        The splits of the remaining rows, and all mistakes.

    Raises:
        ConfigError: if files or columns are missing, so that there are no rows.
    """
    results = CheckResults()
    given, labels, columns = _read_given(dataset, reader, data_folders, results)
    parts = _cut_missing_splits(dataset, reader, given, labels.names, results)
    check_splits(dataset, parts, results)
    results.problems += shared_groups(parts, dataset.group)
    reader.check_splits(dataset, parts, labels.names, results)
    examples = {split: part.examples for split, part in parts.items()}
    names, text_columns = labels.names, columns["train"].texts()
    if dataset.next_sentence and dataset.group:
        wrong = list(pair_problems(examples, dataset.group, short_name(dataset)))
        results.problems += wrong
        examples = examples if wrong else sentence_pairs(examples, dataset.split_seed)
        names, text_columns = PAIR_NAMES, text_columns * 2
    splits = Splits(
        name=short_name(dataset),
        train=examples["train"],
        validation=examples["validation"],
        test=examples.get("test"),
        label_names=names,
        fingerprint=_fingerprint(examples, names, dataset.task),
        notes=tuple(results.notes),
        text_columns=tuple(text_columns),
        cuts_validation="validation" not in given,
    )
    return splits, results.problems


def read_labelled(dataset: Dataset, reader: LabelReader) -> tuple[LocatedExamples, tuple[str, ...], CheckResults]:
    """Read and check one labelled table that is not split, such as new rows to score a model on.

    Args:
        dataset: the file, columns and labels.
        reader: reads the labels of its task.

    Returns:
        The usable rows, the label names, and all mistakes and notes.

    Raises:
        ConfigError: if the file or columns are missing.
    """
    results = CheckResults()
    given, labels, _ = _read_given(dataset, reader, (Path(),), results)
    return given["train"], labels.names, results


def _read_given(
    dataset: Dataset, reader: LabelReader, data_folders: Sequence[Path], results: CheckResults
) -> tuple[dict[str, LocatedExamples], Labels, Mapping[str, Columns]]:
    """Return the usable rows of each table that the data set gives, the labels, and the columns of the texts."""
    raws, label_columns = read_tables(dataset, data_folders), reader.columns(dataset)
    if label_columns:
        raws = drop_unlabelled_splits(dataset, raws, label_columns[0], results)
    columns = choose_columns(dataset, raws, label_columns)
    if dataset.has_images:
        texts = check_all_images(dataset, raws, columns, results)
    else:
        texts = check_all_texts(dataset, raws, columns, results, reader.reads_words)
    labels = reader.read(dataset, {split: checked.raw for split, checked in texts.items()}, results)
    groups = read_groups(dataset.group, {split: checked.raw for split, checked in texts.items()}, results)
    given = {split: _usable_examples(split, checked, labels, groups) for split, checked in texts.items()}
    results.notes += [note for part in given.values() for note in part.raw.notes]
    return given, labels, columns


def _usable_examples(split: str, checked: CheckedTexts, labels: Labels, groups: Groups) -> LocatedExamples:
    """Keep the rows with usable texts and a known label."""
    of_rows, strata = labels.of_rows[split], labels.strata[split]
    usable = checked.usable & (strata >= 0)
    rows = np.flatnonzero(usable)
    texts = [["" if cells[row] is None else cells[row] for row in rows.tolist()] for cells in checked.columns]
    bins = None if strata is of_rows else strata[rows]
    group = groups[split][rows] if groups else None
    images = [checked.images[row] for row in rows.tolist()] if checked.images else None
    examples = Examples(texts[0], texts[1] if len(texts) > 1 else None, of_rows[rows], bins, group, images)
    return LocatedExamples(examples, checked.raw, rows, frozenset(strata[~usable].tolist()))


def _cut_missing_splits(
    dataset: Dataset,
    reader: LabelReader,
    given: dict[str, LocatedExamples],
    names: tuple[str, ...],
    results: CheckResults,
) -> dict[str, LocatedExamples]:
    """Cut the validation and test splits from the training rows if the data set does not give them."""
    one_table = len(given) == 1 and dataset.train is None
    one_table &= dataset.saved_splits().get("test") != LEFT_OUT
    test_fraction = dataset.test_fraction if dataset.test_fraction is not None else 0.1 if one_table else 0.0
    whole = given["train"]
    share = dataset.validation_share(len(whole.examples))
    fractions = {} if "validation" in given else {"validation": share}
    if "test" not in given and test_fraction:
        fractions["test"] = test_fraction
    if not fractions:
        return given
    results.problems += reader.check_whole(whole, names, len(fractions) + 1)
    examples, shares = whole.examples, list(fractions.values())
    texts = examples.text_pairs()
    if dataset.next_sentence and examples.groups is not None:  # a sentence of many documents must not join them all
        texts = [(str(document), None) for document in examples.groups]
    rows = split_rows(texts, examples.strata, shares, dataset.split_seed, examples.groups)
    cut = {split: whole.take(r) for split, r in zip(["train", *fractions], rows, strict=True)}
    parts = given | cut
    return {split: parts[split] for split in ("train", "validation", "test") if split in parts}


def _fingerprint(splits: Mapping[str, Examples], names: tuple[str, ...], task: str) -> str:
    digest = hashlib.sha256(json.dumps(names).encode())
    if task != "classification":  # it was the only task, so caches and stored plans of older versions stay valid
        digest.update(task.encode())
    for split, examples in splits.items():
        content = [split, examples.text, examples.text_b, examples.labels.tolist()]
        digest.update(json.dumps(content).encode())
    return digest.hexdigest()


def short_name(dataset: Dataset) -> str:
    """Return the hub name of a data set, or the name of its file or folder; never a path."""
    if dataset.hub:
        return dataset.hub
    path = Path(
        dataset.csv or dataset.json_ or dataset.parquet or dataset.conll or dataset.folder or dataset.train or ""
    )
    stem = path.name if dataset.folder else path.stem
    if dataset.train:  # reviews_train.csv gives reviews; train.csv gives the name of its folder
        stem = stem.removesuffix("train").strip("._- ") or path.parent.name
    return stem or "train"
