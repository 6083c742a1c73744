"""Checks the classes of the splits: only one class, rare and unseen labels, labels that look alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from trainable.data.check_results import CheckResults
from trainable.data.checks.similar_labels import lookalike_labels_note, similar_labels, similar_labels_note
from trainable.data.examples import LocatedExamples
from trainable.data.label_reader import UNCLEAR
from trainable.data.message_text import first_few, plural, quoted, shortened
from trainable.data.stratified_split import number_texts
from trainable.settings.dataset import Dataset

Splits = Mapping[str, LocatedExamples]


def check_classes(dataset: Dataset, splits: Splits, names: Sequence[str], results: CheckResults) -> None:
    """Add everything that is wrong or unusual in the classes of the finished splits to `results`.

    Args:
        dataset: the settings.
        splits: the splits by name; there is always `train`.
        names: all label names, in the order of the class numbers.
        results: collects the sentences.
    """
    results.problems += _single_class(splits["train"], names)
    results.problems += _unseen_labels(splits, names)
    counts, named = _label_counts(splits.values(), names), dataset.labels is not None
    results.notes += [*similar_labels_note(counts, named), *lookalike_labels_note(counts, named)]
    results.notes += _labels_without_training_rows(splits["train"], names)


def check_enough_texts(whole: LocatedExamples, names: Sequence[str], parts: int) -> Iterator[str]:
    """Yield a problem if labels have too few different texts to occur in each of `parts` splits."""
    _, first = number_texts(whole.examples.text_pairs())
    counts = np.bincount(whole.examples.labels[first], minlength=len(names))
    few = [n for n in np.flatnonzero((counts > 0) & (counts < parts)).tolist() if not _may_be_refused(whole, n)]
    if few:
        row = int(np.flatnonzero(whole.examples.labels == few[0])[0])
        rare, noun = {names[i]: None for i in few}, whole.examples.noun
        advice = _advice(rare, [whole], names, "add rows, join labels with `labels:`, or remove them")
        yield (
            f"{whole.raw.source}: {plural(len(few), 'label')} with fewer than {parts} different {noun}s, too few for "
            f"{parts} splits: {first_few(rare)}, the first on {whole.position(row)}; {advice}"
        )


def _single_class(train: LocatedExamples, names: Sequence[str]) -> Iterator[str]:
    present = set(train.examples.labels.tolist())
    if len(present) == 1 and not train.refused_classes - present:
        yield (
            f"{train.raw.source}: all {len(train.examples)} training rows have the label "
            f"{shortened(names[min(present)])}; there is nothing to tell apart"
        )


def _unseen_labels(splits: Splits, names: Sequence[str]) -> Iterator[str]:
    """Yield a problem for each split with labels that no training row has."""
    train = splits["train"]
    present = set(train.examples.labels.tolist())
    if not present:
        return
    known = [n for n in range(len(names)) if n in present or _may_be_refused(train, n)]
    for split, part in splits.items():
        rows = np.flatnonzero(~np.isin(part.examples.labels, known)).tolist()
        if rows:
            unseen = Counter(names[part.examples.labels[row]] for row in rows)
            advice = _advice(unseen, splits.values(), names, "add training rows or remove these")
            yield (
                f"{part.raw.source}: {plural(len(rows), f'{split} row')} with labels unseen in training: "
                f"{first_few(unseen)}, the first on {part.position(rows[0])}; {advice}"
            )


def _label_counts(parts: Iterable[LocatedExamples], names: Sequence[str]) -> dict[str, int]:
    """Count the rows of each label over several splits."""
    labels = np.concatenate([part.examples.labels for part in parts])
    return dict(zip(names, np.bincount(labels, minlength=len(names)).tolist(), strict=True))


def _advice(rare: Iterable[str], parts: Iterable[LocatedExamples], names: Sequence[str], otherwise: str) -> str:
    """Say how to get more rows for rare labels: join them with similar labels, else do as `otherwise` says.

    Args:
        rare: the labels with too few rows.
        parts: the splits in which labels are counted.
        names: all label names.
        otherwise: the advice if no label is similar to a rare one.
    """
    similar = [group for group in similar_labels(_label_counts(parts, names)) if not set(group).isdisjoint(rare)]
    if not similar:
        return otherwise
    listed = "; ".join(" = ".join(map(quoted, group)) for group in similar[:5])
    return f"labels that differ only in blanks, case or Unicode form get one name with `labels:` ({listed})"


def _may_be_refused(part: LocatedExamples, number: int) -> bool:
    """Return whether refused rows may belong to this class. Then its missing rows are not reported a second time."""
    return not part.refused_classes.isdisjoint({number, UNCLEAR})


def _labels_without_training_rows(train: LocatedExamples, names: Sequence[str]) -> Iterator[str]:
    """Yield a note on labels that no training row has, unless refused rows may have them."""
    present = set(train.examples.labels.tolist())
    absent = [name for number, name in enumerate(names) if number not in present and not _may_be_refused(train, number)]
    if absent and present:
        yield f"train: no row has the label {', '.join(map(shortened, absent[:5]))} ({len(absent)} such labels)"
