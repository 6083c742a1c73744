"""The scores of tags: those of entities, equal to seqeval's default mode, and those of the tags themselves.

seqeval compares entities in Python loops and gives no counts for each row, from which an interval is drawn; so the
counts are computed here with numpy. A test holds its rules.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainable.metrics.classification import ClassScores

OUTSIDE = "O"
_ENTITY_TAG = re.compile(r"([BIELSU])-(.+)", re.DOTALL)
_SAME = {"L": "E", "U": "S"}
"""BILOU's last and unit are BIOES's end and single."""
Tags = NDArray[np.int64]
"""Shape (N, W): the tag of each word; below 0 where there is no word."""


@dataclass(frozen=True)
class Scheme:
    """What tags mean."""

    kinds: NDArray[np.str_]
    """`B`, `I`, `E`, `S` or `O` of each tag, shape (C,)."""
    types: NDArray[np.int64]
    """Entity type of each tag, shape (C,); -1 for none."""
    type_names: tuple[str, ...]


@lru_cache
def scheme_of(names: tuple[str, ...]) -> Scheme:
    """Return what tags mean.

    Tags with prefixes, such as `B-PER` (BIO, IOB2, IOB1, BIOES, BILOU), and `O` mark entities of several words. If any
    tag has another form, as parts of speech have, each word is an entity whose type is its tag; `O` marks none.
    """
    found = [_ENTITY_TAG.fullmatch(name) for name in names]
    if not any(found) or any(match is None and name != OUTSIDE for match, name in zip(found, names, strict=True)):
        types = tuple(name for name in names if name != OUTSIDE)
        kinds = np.array([OUTSIDE if name == OUTSIDE else "S" for name in names])
        return Scheme(kinds, np.array([types.index(n) if n != OUTSIDE else -1 for n in names]), types)
    types = tuple(dict.fromkeys(match[2] for match in found if match))
    kinds = np.array([_SAME.get(match[1], match[1]) if match else OUTSIDE for match in found])
    return Scheme(kinds, np.array([types.index(match[2]) if match else -1 for match in found]), types)


def entities(tags: Tags, scheme: Scheme) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return where entities end, and their types, by the place where they begin; both have the shape (N * (W + 1),).

    Places are numbered row after row, W + 1 in each. Where no entity begins, both are -1. The rules are those of
    seqeval's default mode, which are those of CoNLL's script: an entity also begins at an inside tag that continues
    none, and at one of another type.
    """
    padded = np.maximum(np.pad(tags, ((0, 0), (0, 1)), constant_values=-1), -1).ravel()
    # The last element, which index -1 means, is a place without a word.
    kind, type_ = (np.append(of, none)[padded] for of, none in ((scheme.kinds, OUTSIDE), (scheme.types, -1)))
    before, type_before = np.roll(kind, 1), np.roll(type_, 1)  # the first word has the last one, which is no word
    ended = np.isin(before, ("E", "S")) | (np.isin(before, ("B", "I")) & np.isin(kind, ("B", "S", OUTSIDE)))
    ended |= (before != OUTSIDE) & (type_before != type_)
    began = np.isin(kind, ("B", "S")) | (np.isin(before, ("E", "S", OUTSIDE)) & np.isin(kind, ("E", "I")))
    began |= (kind != OUTSIDE) & (type_before != type_)
    end, of_type = np.full(len(padded), -1), np.full(len(padded), -1)
    end[began] = np.flatnonzero(ended)
    of_type[began] = type_[began]
    return end, of_type


@dataclass(frozen=True)
class Counts:
    """What the scores of tags are computed from, by row. All are of the shape (N, K)."""

    entities: NDArray[np.int64]
    """Right, true and predicted entities, K = 3."""
    words: NDArray[np.int64]
    """Words with the right tag, and words, K = 2."""
    tags: NDArray[np.int64]
    """For each tag words that have it rightly, truly, and by prediction, K = 3 * C."""


def counts_of(predicted: Tags, true: Tags, names: tuple[str, ...]) -> Counts:
    """Return the counts of each row."""
    rows, classes, there = len(true), len(names), true >= 0
    predicted = np.where(there, predicted, -1)
    hits = np.stack([each.sum(1) for each in entity_counts(predicted, true, names)], 1)
    words = np.stack([((predicted == true) & there).sum(1), there.sum(1)], 1)
    row = np.broadcast_to(np.arange(rows)[:, None], true.shape)

    def by_tag(tags: Tags, chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
        cells = row[chosen] * classes + tags[chosen]
        return np.bincount(cells, minlength=rows * classes).reshape(rows, classes)

    tags = [by_tag(true, there & (predicted == true)), by_tag(true, there), by_tag(predicted, there)]
    return Counts(hits, words, np.concatenate(tags, 1))


def entity_counts(predicted: Tags, true: Tags, names: tuple[str, ...]) -> tuple[NDArray[np.int64], ...]:
    """Return right, true and predicted entities of each row and type, each of the shape (N, types)."""
    scheme, rows, width = scheme_of(names), len(true), true.shape[1] + 1
    (end, type_), (predicted_end, predicted_type) = (entities(tags, scheme) for tags in (true, predicted))
    right = (end >= 0) & (end == predicted_end) & (type_ == predicted_type)
    count = len(scheme.type_names)

    def by_type(chosen: NDArray[np.bool_], types: NDArray[np.int64]) -> NDArray[np.int64]:
        place = np.flatnonzero(chosen)
        cells = place // width * count + types[place]
        return np.bincount(cells, minlength=rows * count).reshape(rows, count)

    return by_type(right, type_), by_type(end >= 0, type_), by_type(predicted_end >= 0, predicted_type)


def score(metric: str, counts: Counts, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a metric of D draws of the rows, shape (D,); `weights`, shape (D, N), says how often each row is drawn."""
    if metric == "accuracy":
        right, words = (weights @ counts.words).T
        return ratio(right, words)
    if metric == "macro_f1":
        hits, true, predicted = np.split(weights @ counts.tags, 3, axis=-1)
        there = (true + predicted) > 0  # like scikit-learn, average over the tags that occur
        return ratio((ratio(2 * hits, true + predicted) * there).sum(-1), there.sum(-1))
    hits, true, predicted = (weights @ counts.entities).T
    return ratio(*_ENTITY_SCORES[metric](hits, true, predicted))


_ENTITY_SCORES: dict[str, Any] = {
    "entity_f1": lambda hits, true, predicted: (2 * hits, true + predicted),
    "entity_precision": lambda hits, true, predicted: (hits, predicted),
    "entity_recall": lambda hits, true, predicted: (hits, true),
}
METRICS = (*_ENTITY_SCORES, "accuracy", "macro_f1")


def per_type(predicted: Tags, true: Tags, names: Sequence[str]) -> list[ClassScores]:
    """Return the scores of each entity type."""
    hits, found, claimed = (each.sum(0) for each in entity_counts(predicted, true, tuple(names)))
    columns = ratio(hits, claimed), ratio(hits, found), ratio(2 * hits, found + claimed), found, claimed
    types = scheme_of(tuple(names)).type_names
    return [
        ClassScores(name, float(p), float(r), float(f), int(n), int(k))
        for name, p, r, f, n, k in zip(types, *columns, strict=True)
    ]


def ratio(above: NDArray[Any], below: NDArray[Any]) -> NDArray[np.float64]:
    """Return the quotient; it is 0 wherever `below` is 0."""
    result: NDArray[np.float64] = np.zeros(np.shape(below))
    np.divide(above, below, out=result, where=np.asarray(below) != 0)
    return result
