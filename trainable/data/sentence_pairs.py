"""Pairs of sentences from documents, for the prediction of the next sentence (BERT, Devlin et al. 2019)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from trainable.data.examples import Examples
from trainable.seeds import seed_of

PAIR_NAMES = ("random", "next")
"""What the second sentence of a pair is, by its label."""


def sentence_pairs(splits: Mapping[str, Examples], seed: int) -> dict[str, Examples]:
    """Return each split as pairs: a sentence with the next one of its document, or with one of another document.

    Each sentence but the last one of its document begins a pair. Half of the pairs, at random, have the next sentence.
    The pairs are the same in each epoch.

    Args:
        splits: sentences in the order of their documents, which are the groups; see `pair_problems`.
        seed: decides which pairs are random, and their second sentences.
    """
    return {split: _pairs(examples, seed_of("sentence pairs", seed, split)) for split, examples in splits.items()}


def pair_problems(splits: Mapping[str, Examples], column: str, name: str) -> Iterator[str]:
    """Yield a problem for each split that has too few documents for pairs.

    Args:
        splits: sentences with their documents.
        column: the column with the documents.
        name: of the data set.
    """
    for split, examples in splits.items():
        if examples.text_b is not None:
            yield f"{name}: next_sentence makes the pairs itself, and the {split} rows are pairs; leave it out"
            continue
        _, _, sizes = _documents(examples)
        if len(sizes) < 2 or sizes.max() < 2:
            yield (
                f"{name}: next_sentence needs two documents in the {split} rows, one of them with two sentences; "
                f"`group: {column}` gives {len(sizes)} with at most {sizes.max(initial=0)}; give more documents, or "
                "leave next_sentence out"
            )


def _pairs(examples: Examples, seed: int) -> Examples:
    order, starts, sizes = _documents(examples)
    document = np.repeat(np.arange(len(sizes)), sizes)  # (N,), of each place in the order
    first = np.flatnonzero(np.append(document[1:] == document[:-1], False))  # places that have a next sentence
    draws = np.random.default_rng(seed)
    is_next = draws.random(len(first)) < 0.5
    others = len(order) - sizes[document[first]]
    other = (draws.random(len(first)) * others).astype(np.int64)
    other += np.where(other >= starts[document[first]], sizes[document[first]], 0)  # skips the document itself
    second = np.where(is_next, first + 1, other)
    pairs = examples.take(order[first])
    text_b = [examples.text[row] for row in order[second]]
    return replace(pairs, text_b=text_b, labels=is_next.astype(np.int64), bins=None)


def _documents(examples: Examples) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows document by document (N,), and where each document begins in them, and its size, shape (D,)."""
    assert examples.groups is not None  # the settings require them
    order = np.argsort(examples.groups, kind="stable")
    _, starts, sizes = np.unique(examples.groups[order], return_index=True, return_counts=True)
    return order, starts, sizes
