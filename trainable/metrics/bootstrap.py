"""Confidence intervals by resampling rows (Efron & Tibshirani 1993, chapter 13)."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

DRAWS = 2000
"""Resampled sets of rows of an interval."""
_MAX_VALUES = 2**20
"""Values that the resampling for an interval keeps in memory at a time (8 MiB)."""


def mean_interval(values: NDArray[np.float64], seed: int = 0, draws: int = DRAWS) -> tuple[float, float]:
    """Return a 95 % percentile interval, over resampled rows, of the mean of values (N,), such as the rows' losses."""
    generator, count = np.random.default_rng(seed), len(values)
    return middle_95_percent(
        [values[generator.integers(count, size=(n, count))].mean(1) for n in batches_of_draws(draws, count)]
    )


def rows_interval(
    rows: int, score: Callable[[NDArray[np.int64]], NDArray[np.float64]], seed: int = 0, draws: int = DRAWS
) -> tuple[float, float]:
    """Return a 95 % percentile interval of a score over resampled rows.

    Args:
        rows: number of rows, N.
        score: gives the score of each of D resampled sets of rows, shape (D,), from their row numbers, shape (D, N).
        seed: decides the draws.
        draws: number of draws.
    """
    generator = np.random.default_rng(seed)
    return middle_95_percent([score(generator.integers(rows, size=(n, rows))) for n in batches_of_draws(draws, rows)])


def batches_of_draws(draws: int, width: int) -> Iterator[int]:
    """Yield batch sizes that add up to `draws`; a batch has at most `_MAX_VALUES` values, each draw `width`."""
    most = max(1, _MAX_VALUES // width)
    for done in range(0, draws, most):
        yield min(most, draws - done)


def middle_95_percent(values: list[NDArray[Any]]) -> tuple[float, float]:
    """Return the bounds of the middle 95 % of all values."""
    low, high = np.quantile(np.concatenate(values), [0.025, 0.975])
    return float(low), float(high)
