"""Checks the splits of any task against each other: empty splits, repeated texts, overlap."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from trainable.data.check_results import CheckResults
from trainable.data.examples import LocatedExamples, shared_rows
from trainable.data.message_text import plural
from trainable.data.stratified_split import number_texts
from trainable.settings.dataset import Dataset

Splits = Mapping[str, LocatedExamples]


def check_splits(dataset: Dataset, splits: Splits, results: CheckResults) -> None:
    """Add everything that is wrong or unusual in the texts of the finished splits to `results`.

    Args:
        dataset: the settings.
        splits: the splits by name; there is always `train`.
        results: collects the sentences.
    """
    results.problems += _empty_splits(splits)
    results.notes += [note for split, part in splits.items() for note in _repeated_texts(split, part)]
    _check_overlap(splits, dataset.max_overlap, results)


def _empty_splits(splits: Splits) -> Iterator[str]:
    train = splits["train"]
    for split, part in splits.items():
        # A split cut from the training rows is empty only if there are too few rows; other checks report that.
        cut_from_train = split != "train" and part.raw is train.raw
        if not len(part.examples) and not part.refused_classes and not cut_from_train:
            yield f"{part.raw.source}: the {split} split is empty; add rows, or change the fractions"


def _check_overlap(splits: Splits, highest: float, results: CheckResults) -> None:
    """Compare the texts of each two splits.

    An overlap is a problem if it exceeds the share `highest`, otherwise a note. With `train` as the first split, the
    share is that of the second split's rows; otherwise that of the smaller split's rows.
    """
    order = list(splits)
    for i, first in enumerate(order):
        for second in order[i + 1 :]:
            a, b = splits[first], splits[second]
            rows = shared_rows(a.examples, b.examples)
            if not len(rows):
                continue
            size = len(b.examples)
            share = len(rows) / (size if first == "train" else min(len(a.examples), size))
            row = int(rows[0])
            message = (
                f"{len(rows)} of {size} {second} rows ({share:.1%}) have a {b.examples.noun} that is also in {first}, "
                f"the first on {b.position(row)}"
            )
            if share > highest:
                advice = f"remove them, or allow it with max_overlap: {_rounded_up(share)}"
                results.problems.append(f"{b.raw.source}: {message}: {b.examples.shown(row)}; {advice}")
            else:
                results.notes.append(f"{second}: {message}")


def _repeated_texts(split: str, part: LocatedExamples) -> Iterator[str]:
    """Yield notes on repeated texts and on texts with several labels. The notes do not quote the texts."""
    examples = part.examples
    text_of_row, first = number_texts(examples.text_pairs())
    if len(first) < len(examples):
        yield f"{split}: {plural(len(examples) - len(first), 'row')} with a {examples.noun} that an earlier row has too"
    conflicts = np.unique(text_of_row[examples.strata != examples.strata[first][text_of_row]])
    if len(conflicts):
        row = int(first[conflicts[0]])
        count = plural(len(conflicts), examples.noun)
        yield f"{split}: {count} with more than one label, the first on {part.position(row)}"


def _rounded_up(share: float) -> str:
    return f"{min(1.0, np.ceil(share * 100) / 100):g}"
