"""Which rows stand in which batch: seeded, resumable, and of like lengths so that little is padding."""

import numpy as np
from numpy.typing import NDArray

POOL = 32
"""Batches whose rows are sorted by length together."""
PADDED_TO = {"cpu": 1, "cuda": 4}
"""Batches are as wide as a multiple of this many tokens, by kind of device: graphs are for shapes that come again."""


def epoch_batches(lengths: NDArray[np.int64], batch_size: int, seed: int) -> list[NDArray[np.int64]]:
    """One epoch's batches: every row once, in batches of like lengths.

    The scheme: permute all rows; cut the permutation into pools of `POOL` batches; inside a pool sort by
    length, ties in permuted order; cut the pool into batches; shuffle the batches of the epoch. Which
    pool a row falls into and when its batch comes are uniform; only its neighbours are of like length.

    Args:
        lengths: shape (N,), tokens of each row after truncation.
        batch_size: rows a batch; the epoch's rest makes one smaller batch.
        seed: decides all of it; differs by epoch.

    Returns:
        ceil(N / batch_size) arrays of row numbers.
    """
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(lengths))
    batches = []
    for start in range(0, len(order), POOL * batch_size):
        pool = order[start : start + POOL * batch_size]
        pool = pool[np.argsort(lengths[pool], kind="stable")]
        batches += [pool[i : i + batch_size] for i in range(0, len(pool), batch_size)]
    return [batches[i] for i in generator.permutation(len(batches))]


def evaluation_batches(lengths: NDArray[np.int64], budget: int, call: int) -> list[NDArray[np.int64]]:
    """All rows sorted by length, longest first, cut into batches where that costs least.

    Args:
        lengths: shape (N,), tokens of each row after truncation.
        budget: tokens a batch may hold, padding included, at least 1; a longer row is a batch by itself.
        call: what a batch costs beside its tokens, in tokens: 0 leaves no padding at all, more makes fewer batches.
    """
    order = np.argsort(-lengths, kind="stable")
    widths, count = lengths[order], len(order)
    least = np.zeros(count + 1, dtype=np.int64)  # cost of all rows from this one on
    ends = np.zeros(count, dtype=np.int64)
    rows = np.arange(1, budget + 1)
    for start in range(count - 1, -1, -1):
        most = min(max(1, budget // int(widths[start])), count - start)
        costs = widths[start] * rows[:most] + least[start + 1 : start + 1 + most]
        best = int(costs.argmin())
        least[start], ends[start] = costs[best] + call, start + 1 + best
    batches, start = [], 0
    while start < count:
        batches.append(order[start : ends[start]])
        start = int(ends[start])
    return batches


def padded_width(lengths: NDArray[np.int64], multiple: int, most: int) -> int:
    """To how many tokens a batch of rows of these lengths is padded: a multiple of `multiple`, but at most `most`."""
    longest = int(lengths.max(initial=0))
    return min(-(-longest // multiple) * multiple, most)


def parts_of(rows: NDArray[np.int64], micro_batches: int) -> list[NDArray[np.int64]]:
    """Cut a batch into `micro_batches` parts of neighbouring rows; the last ones may be empty."""
    return list(np.array_split(rows, micro_batches))


def evaluation_steps(steps_per_epoch: int, epochs: int, per_epoch: int, shares: tuple[float, ...] = ()) -> list[int]:
    """After which optimiser steps to evaluate, in ascending order; the last step is always one.

    Args:
        steps_per_epoch: optimiser steps an epoch.
        epochs: epochs of the stage.
        per_epoch: evaluations an epoch, evenly spread.
        shares: further evaluations, as shares of all steps.
    """
    total = steps_per_epoch * epochs
    regular = {round(steps_per_epoch * (e + (i + 1) / per_epoch)) for e in range(epochs) for i in range(per_epoch)}
    further = {max(1, round(share * total)) for share in shares}
    return sorted(step for step in regular | further | {total} if step >= 1)
