"""Lists of token ids of different lengths, in two flat arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Ragged:
    """N lists of token ids of different lengths, concatenated; both arrays may be memory-mapped."""

    ids: NDArray[np.int32]
    offsets: NDArray[np.int64]
    """Shape (N + 1,): where each list begins in `ids`, and the end of the last one."""

    def parts(self, start: NDArray[np.int64], length: NDArray[np.int64]) -> Ragged:
        """Return S parts of the ids as lists of their own.

        Args:
            start: where each part begins in `ids`, shape (S,).
            length: its number of ids, shape (S,).
        """
        chosen = np.repeat(start, length) + numbers_within(length)
        return Ragged(np.asarray(self.ids[chosen], dtype=np.int32), offsets_of(length))

    def lists(self, rows: NDArray[np.int64]) -> Ragged:
        """Return whole lists, by their numbers."""
        return self.parts(self.offsets[rows], np.diff(self.offsets)[rows])


def offsets_of(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where concatenated lists of these lengths begin, and where the last one ends, shape (N + 1,)."""
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def numbers_within(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return 0, 1, 2 and so on for each count, one count after another, shape (sum of the counts,)."""
    return np.asarray(np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts))
