"""The rows of each batch: seeded, resumable, and with rows of similar lengths so that padding is rare."""

import numpy as np
from numpy.typing import NDArray

POOL = 32
"""Number of batches whose rows are sorted by length together."""
PADDED_TO = {"cpu": 1, "cuda": 4}
"""The width of a batch, in tokens, is a multiple of this number, by kind of device. On a GPU few different widths mean
that a recorded graph can be reused."""


def epoch_batches(lengths: NDArray[np.int64], batch_size: int, seed: int) -> list[NDArray[np.int64]]:
    """Return the batches of one epoch: every row once, in batches of similar lengths.

    The scheme: permute all rows; cut the permutation into pools of `POOL` batches; inside a pool sort by
    length, ties in permuted order; cut the pool into batches; shuffle the batches of the epoch. The pool of a row
    and the position of its batch are uniform. Only the rows beside it in the batch are chosen by length.

    Args:
        lengths: shape (N,), tokens of each row after truncation.
        batch_size: rows per batch; the rows left over form one smaller batch.
        seed: decides the whole order; the caller passes another one for each epoch.

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


def evaluation_batches(lengths: NDArray[np.int64], budget: int, batch_cost: int) -> list[NDArray[np.int64]]:
    """Sort all rows by length, longest first, and cut them into the batches that cost least.

    Args:
        lengths: shape (N,), tokens of each row after truncation.
        budget: tokens that a batch may hold, padding included, at least 1; a longer row is a batch by itself.
        batch_cost: fixed cost of a batch, in tokens. 0 leaves no padding at all; a higher cost makes fewer batches.
    """
    order = np.argsort(-lengths, kind="stable")
    widths, count = lengths[order], len(order)
    least = np.zeros(count + 1, dtype=np.int64)  # lowest cost of this row and all rows after it
    ends = np.zeros(count, dtype=np.int64)
    rows = np.arange(1, budget + 1)
    for start in range(count - 1, -1, -1):
        most = min(max(1, budget // int(widths[start])), count - start)
        costs = widths[start] * rows[:most] + least[start + 1 : start + 1 + most]
        best = int(costs.argmin())
        least[start], ends[start] = costs[best] + batch_cost, start + 1 + best
    batches, start = [], 0
    while start < count:
        batches.append(order[start : ends[start]])
        start = int(ends[start])
    return batches


def padded_width(lengths: NDArray[np.int64], multiple: int, most: int) -> int:
    """Return the width, in tokens, to which a batch is padded: a multiple of `multiple`, but at most `most`."""
    longest = int(lengths.max(initial=0))
    return min(-(-longest // multiple) * multiple, most)


def parts_of(rows: NDArray[np.int64], micro_batches: int) -> list[NDArray[np.int64]]:
    """Cut a batch into `micro_batches` parts of consecutive rows; the last parts may be empty."""
    return list(np.array_split(rows, micro_batches))
