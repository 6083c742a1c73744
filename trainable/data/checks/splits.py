"""What can be wrong with labelled text: one sentence for each kind of mistake, with its count and first place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from trainable.data.checks.similar_labels import variants
from trainable.data.examples import Key, Origin, overlapping
from trainable.data.labels import UNCLEAR
from trainable.data.message_text import at, plural, quoted, short, some
from trainable.data.reading.raw_table import RawTable, is_unicode
from trainable.data.stratified_split import groups

MAX_CHARACTERS = 1_000_000
"""Of a text. No `padding_length` reads as many, and each further megabyte takes seconds and 60 MB to tokenise."""


def check_texts(raw: RawTable, column: str, cells: Sequence[Any]) -> tuple[set[int], list[str]]:
    """Find the cells that hold something else than usable text; `empty_texts` handles empty ones.

    Returns:
        the rows (0-based), and a sentence for each kind of mistake.
    """
    other = [i for i, cell in enumerate(cells) if cell is not None and not isinstance(cell, str)]
    broken = [i for i, cell in enumerate(cells) if isinstance(cell, str) and not is_unicode(cell)]
    long = [i for i, cell in enumerate(cells) if isinstance(cell, str) and len(cell) > MAX_CHARACTERS]
    problems = []
    if other:
        kind = type(cells[other[0]]).__name__
        problems.append(
            at(raw, other, f"something else than text in column {column!r}")
            + f": {short(cells[other[0]])} ({kind}); quote it, or name another column"
        )
    if broken:
        problems.append(
            at(raw, broken, f"half a character (a lone surrogate) in column {column!r}")
            + "; such text cannot be encoded"
        )
    if long:
        problems.append(
            at(raw, long, f"more than {MAX_CHARACTERS:,} characters in column {column!r}")
            + f": {len(cells[long[0]]):,}; cut or divide such texts"
        )
    return {*other, *broken, *long}, problems


def check_alone(source: str, keys: Sequence[Key], origin: Origin, names: Sequence[str], parts: int) -> Iterator[str]:
    """Complain of labels with too few different texts to stand in each of `parts` splits."""
    _, first = groups(keys)
    counts = np.bincount(origin.table.labels[first], minlength=len(names))
    few = [n for n in np.flatnonzero((counts > 0) & (counts < parts)).tolist() if not _may_lack(origin, n)]
    if few:
        row = int(np.flatnonzero(origin.table.labels == few[0])[0])
        rare = {names[i]: None for i in few}
        way_out = _way_out(rare, [origin], names, "add rows, join labels with `labels:`, or remove them")
        yield (
            f"{source}: {plural(len(few), 'label')} with fewer than {parts} different texts, too few for "
            f"{parts} splits: {some(rare)}, the first on {origin.where(row)}; {way_out}"
        )


def check_splits(parts: Mapping[str, Origin], names: Sequence[str]) -> Iterator[str]:
    """Complain of empty splits, of a single class, and of labels unseen in training."""
    train = parts["train"]
    for split, part in parts.items():
        cut = split != "train" and part.raw is train.raw  # empty only for want of rows, which is told already
        if not len(part.table) and not part.lacks and not cut:
            yield f"{part.raw.source}: the {split} split is empty; add rows, or change the fractions"
    seen = set(train.table.labels.tolist())
    if len(seen) == 1 and not train.lacks - seen:
        yield (
            f"{train.raw.source}: all {len(train.table)} training rows have the label "
            f"{short(names[min(seen)])}; there is nothing to tell apart"
        )
    known = [n for n in range(len(names)) if n in seen or _may_lack(train, n)]
    for split, part in parts.items():
        unseen = np.flatnonzero(~np.isin(part.table.labels, known)).tolist()
        if unseen and seen:
            strange = Counter(names[part.table.labels[i]] for i in unseen)
            way_out = _way_out(strange, parts.values(), names, "add training rows or remove these")
            yield (
                f"{part.raw.source}: {plural(len(unseen), f'{split} row')} with labels unseen in training: "
                f"{some(strange)}, the first on {part.where(unseen[0])}; {way_out}"
            )


def counts_of(parts: Iterable[Origin], names: Sequence[str]) -> dict[str, int]:
    """How many rows of some splits have each label."""
    labels = np.concatenate([part.table.labels for part in parts])
    return dict(zip(names, np.bincount(labels, minlength=len(names)).tolist(), strict=True))


def _way_out(rare: Iterable[str], parts: Iterable[Origin], names: Sequence[str], otherwise: str) -> str:
    """What helps against labels with too few rows: to join them with labels that look like them, where there are some.

    Args:
        rare: the labels.
        parts: the splits that count.
        names: of all labels.
        otherwise: what helps where none looks like another.
    """
    alike = [group for group in variants(counts_of(parts, names)) if not set(group).isdisjoint(rare)]
    if not alike:
        return otherwise
    listed = "; ".join(" = ".join(map(quoted, group)) for group in alike[:5])
    return f"labels that differ only in blanks, case or Unicode form get one name with `labels:` ({listed})"


def _may_lack(origin: Origin, number: int) -> bool:
    """Whether rows of a class may be among those that were refused, so that their want is no second mistake."""
    return not origin.lacks.isdisjoint({number, UNCLEAR})


def check_overlap(parts: Mapping[str, Origin], highest: float) -> Iterator[tuple[bool, str]]:
    """Compare the texts of each two splits.

    Yields:
        whether it is an error (more than the share `highest` of the later or smaller split), and the sentence.
    """
    order = list(parts)
    for i, first in enumerate(order):
        for second in order[i + 1 :]:
            a, b = parts[first], parts[second]
            rows = overlapping(a.table, b.table)
            if not len(rows):
                continue
            share = len(rows) / (len(b.table) if first == "train" else min(len(a.table), len(b.table)))
            row = int(rows[0])
            sentence = (
                f"{len(rows)} of {len(b.table)} {second} rows ({share:.1%}) have a text that stands in {first} "
                f"too, the first on {b.where(row)}"
            )
            if share > highest:
                text = short(b.table.text[row])
                way_out = f"remove them, or allow it with max_overlap: {_rounded_up(share)}"
                yield True, f"{b.raw.source}: {sentence}: {text}; {way_out}"
            else:
                yield False, f"{second}: {sentence}"


def notes_on(split: str, origin: Origin) -> Iterator[str]:
    """Say what is odd and no error: repeated texts, and texts with several labels (unquoted)."""
    table = origin.table
    of_row, first = groups(list(table.keys()))
    if len(first) < len(table):
        yield f"{split}: {plural(len(table) - len(first), 'row')} with a text that stands in an earlier row"
    conflicts = np.unique(of_row[table.labels != table.labels[first][of_row]])
    if len(conflicts):
        row = int(first[conflicts[0]])
        yield f"{split}: {plural(len(conflicts), 'text')} with more than one label, the first on {origin.where(row)}"


def absent_note(train: Origin, names: Sequence[str]) -> Iterator[str]:
    """Say which labels no training row has, refused rows aside."""
    there = set(train.table.labels.tolist())
    absent = [name for number, name in enumerate(names) if number not in there and not _may_lack(train, number)]
    if absent and there:
        yield f"train: no row has the label {', '.join(map(short, absent[:5]))} ({len(absent)} such labels)"


def _rounded_up(share: float) -> str:
    return f"{min(1.0, np.ceil(share * 100) / 100):g}"
