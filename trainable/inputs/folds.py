"""Cross-validation where labels are few: which rows a fold trains on, and which it holds out.

With few rows, the rows that happen to be held out decide which settings look best. So finalists and baselines are
scored on several draws of the held-out rows (repeated random sub-sampling, also called Monte Carlo cross-validation),
and the winner then trains on all rows.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainable.data.stratified_split import split_rows
from trainable.inputs.prepare import TokenizedDataset, TokenizedSplit
from trainable.settings.stage import Target

FEW_ROWS = 1000
"""With fewer labelled rows than this, another draw of the held-out rows gives clearly different scores."""


@dataclass(frozen=True)
class Fold:
    """Row numbers of a data set whose training rows come first, then its validation rows."""

    train: NDArray[np.int64]
    """Ascending."""
    held_out: NDArray[np.int64]
    """Ascending. They are disjoint from `train`, except in the fold `None`."""


def has_folds(data: TokenizedDataset, target: Target) -> bool:
    """Return whether other rows can be held out: the validation rows were taken from few training rows, all used."""
    rows = sum(len(data.splits[name].labels) for name in ("train", "validation"))
    return data.cuts_validation and target.train_rows is None and rows < FEW_ROWS


def fold_of(data: TokenizedDataset, number: int | None, seed: int) -> Fold:
    """Return the rows of a fold.

    Args:
        data: a data set for which `has_folds` holds.
        number: 0 for the data set's own splits; a higher number for another draw of as many held-out rows, with every
            class that has two rows on both sides; None to train on all rows, where the held-out rows are among them.
        seed: the seed of the data set's split.
    """
    train, validation = (len(data.splits[name].labels) for name in ("train", "validation"))
    everything = np.arange(train + validation)
    if not number:
        return Fold(everything if number is None else everything[:train], everything[train:])
    pool = all_rows(data)
    share = validation / len(everything)
    return Fold(*split_rows(pool.tokens.keys(), pool.strata, [share], seed + number, pool.groups))


def all_rows(data: TokenizedDataset) -> TokenizedSplit:
    """Return the training rows of a data set, then its validation rows, as one split."""
    parts = [data.splits[name] for name in ("train", "validation")]
    tokens = parts[0].tokens.followed_by(parts[1].tokens)
    labels, strata = (np.concatenate([getattr(part, name) for part in parts]) for name in ("labels", "strata"))
    groups = [part.groups for part in parts if part.groups is not None]
    targets = [part.targets for part in parts if part.targets is not None]
    group = np.concatenate(groups) if groups else None
    return TokenizedSplit(tokens, labels, strata, group, targets[0].followed_by(targets[1]) if targets else None)
