"""Reads the tags of words: a list of tags, or a text with a blank between each two, for each row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainable.data.check_results import CheckResults
from trainable.data.checks.texts import SEPARATOR
from trainable.data.examples import LocatedExamples
from trainable.data.label_reader import UNCLEAR, Labels, ReaderDefaults
from trainable.data.labels import read_classes
from trainable.data.message_text import first_few, plural, rows_with
from trainable.data.reading.raw_table import RawTable
from trainable.metrics.tagging import OUTSIDE, entities, scheme_of
from trainable.settings.dataset import Dataset

NO_WORD = -100
"""The label in place of a word that a row does not have."""


class TagReader(ReaderDefaults):
    """Reads a column of tags; see `trainable.data.label_reader.LabelReader` for its methods."""

    reads_words = True

    def columns(self, dataset: Dataset) -> tuple[str, ...]:
        return (dataset.label,)

    def read(self, dataset: Dataset, raws: Mapping[str, RawTable], results: CheckResults) -> Labels:
        if dataset.text_b is not None:
            results.problems.append("text_b: the words of a row are in one column; leave it out")
        text = dataset.text or "text"
        cells = {split: [_tags(cell) for cell in raw.cells(dataset.label)] for split, raw in raws.items()}
        for split, raw in raws.items():
            _check_counts(raw, text, dataset.label, cells[split], results)
        flat = {split: _flat(raw, dataset.label, cells[split]) for split, raw in raws.items()}
        read = read_classes(dataset, flat, results)
        names, renumber = _first_answer(read.names, read.of_rows["train"])
        width = max((len(tags) for rows in cells.values() for tags in rows or () if tags), default=1)
        labels, strata = {}, {}
        for split, rows in cells.items():
            labels[split] = _dense(rows, renumber[read.of_rows[split]], width)
            strata[split] = _strata(rows, labels[split], names)
        return Labels(names, labels, strata)

    def check_splits(
        self, dataset: Dataset, splits: Mapping[str, LocatedExamples], names: Sequence[str], results: CheckResults
    ) -> None:
        train = splits["train"].examples.labels
        known = np.unique(train)
        if (known >= 0).sum() < 2 and len(train):
            results.problems.append(f"{splits['train'].raw.source}: all words of the train rows have the same tag")
        for split, part in splits.items():
            labels = part.examples.labels
            if unseen := Counter(names[tag] for tag in labels[~np.isin(labels, known)].tolist()):
                results.notes.append(f"{split}: words with a tag that no train row has: {first_few(unseen)}")
            if len(rows := _broken_off(labels, names)):
                where = rows_with(part.raw, part.raw_rows[rows].tolist(), "an inside tag that continues no entity")
                results.notes.append(f"{where}; an entity begins there, as in seqeval")


def _tags(cell: Any) -> list[Any] | None:
    """Return the tags of a row; None if the cell has none."""
    if isinstance(cell, str):
        return cell.split(SEPARATOR) if cell.strip() else None
    return list(cell) if isinstance(cell, list) and cell else None


def _check_counts(raw: RawTable, text: str, label: str, cells: list[list[Any] | None], results: CheckResults) -> None:
    """Report rows without tags, and take away tags whose number is not that of the words."""
    words = [_word_count(cell) for cell in raw.cells(text)]
    without = [row for row, tags in enumerate(cells) if tags is None]
    wrong = [row for row, tags in enumerate(cells) if tags is not None and words[row] not in (None, len(tags))]
    if without:
        message = rows_with(raw, without, f"no list of tags in column {label!r}")
        results.problems.append(f"{message}; give a list, or a text with a blank between each two tags")
    if wrong:
        row = wrong[0]
        message = rows_with(raw, wrong, f"another number of tags in column {label!r} than of words in column {text!r}")
        counts = f"{plural(words[row] or 0, 'word')} and {plural(len(cells[row] or ()), 'tag')}"
        results.problems.append(f"{message}: {counts}; give one tag for each word")
    for row in wrong:
        cells[row] = None


def _word_count(cell: Any) -> int | None:
    """Return the number of words of a text; None for what is no text, which is reported elsewhere."""
    if isinstance(cell, str):
        return len(cell.split(SEPARATOR))
    return len(cell) if isinstance(cell, list) else None


def _flat(raw: RawTable, column: str, cells: list[list[Any] | None]) -> RawTable:
    """Return a table with a row for each tag, which knows the position of its row in the file."""
    lengths = [len(tags or ()) for tags in cells]
    of_row = np.repeat(np.arange(len(cells)) if raw.file_rows is None else raw.file_rows, lengths)
    tags = [tag for tags in cells for tag in tags or ()]
    return replace(raw, columns={column: tags}, rows=len(tags), file_rows=of_row)


def _first_answer(names: tuple[str, ...], train: NDArray[np.int64]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Return the names with the answer for cut words first: `O`, or else the most frequent tag; and the new numbers.

    The numbers have the shape (C + 2,), so that `EMPTY` and `UNCLEAR` stay as they are.
    """
    if not names:
        return names, np.array([UNCLEAR, -1])
    counts = np.bincount(train[train >= 0], minlength=len(names))
    first = names.index(OUTSIDE) if OUTSIDE in names else int(counts.argmax())
    order = [first, *(number for number in range(len(names)) if number != first)]
    return tuple(names[number] for number in order), np.append(np.argsort(order), [UNCLEAR, -1])


def _dense(cells: list[list[Any] | None], tags: NDArray[np.int64], width: int) -> NDArray[np.int16]:
    """Return the tags of all rows, shape (rows, width), with `NO_WORD` after the last word."""
    lengths = np.array([len(row or ()) for row in cells], dtype=np.int64)
    dense = np.full((len(cells), width), NO_WORD, dtype=np.int16)
    dense[np.arange(width) < lengths[:, None]] = tags
    return dense


def _strata(cells: list[list[Any] | None], labels: NDArray[np.int16], names: tuple[str, ...]) -> NDArray[np.int64]:
    """Return 1 for rows with an entity, else 0, the same for all rows of parts of speech; `UNCLEAR` if unusable."""
    unusable = np.array([tags is None for tags in cells], dtype=bool) | np.isin(labels, (-1, UNCLEAR)).any(1)
    has_entity = (labels > 0).any(1) if OUTSIDE in names else np.zeros(len(labels), dtype=bool)
    return np.where(unusable, UNCLEAR, has_entity.astype(np.int64))


def _broken_off(labels: NDArray[np.int16], names: Sequence[str]) -> NDArray[np.int64]:
    """Return the rows in which an entity begins with an inside or end tag, though other entities begin with `B`."""
    scheme = scheme_of(tuple(names))
    if "B" not in scheme.kinds:
        return np.zeros(0, dtype=np.int64)
    end, _ = entities(labels.astype(np.int64), scheme)
    begins = end.reshape(len(labels), labels.shape[1] + 1)[:, :-1] >= 0
    inside = np.append(np.isin(scheme.kinds, ("I", "E")), False)[np.maximum(labels, -1)]
    return np.flatnonzero((begins & inside).any(1))
