"""Random numbers for the inputs of a step, each a function of a seed, the row and a number beside it.

So it does not matter in which part of a batch, on which worker or after which resume a row is read.
"""

import numpy as np
from numpy.typing import NDArray


def uniform(seed: int, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return a random number from 0 to 1 for each row (B,) and column (B, T), shape (B, T).

    It is a hash (SplitMix64, Steele et al. 2014) of its row and column, since a generator of each row would be slow.
    """
    state = np.array([seed], dtype=np.uint64)
    for part in (rows[:, None], columns):
        state = _mixed(state + part.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15))
    return np.asarray((state >> np.uint64(11)) * 2.0**-53)


def _mixed(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))
