"""The scores of predicted tokens, from three numbers for each row: what `MaskedLanguage` calls its answers."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

LARGEST_LOSS = 50.0
"""The perplexity of a higher loss is that of this one, so that it stays a number that fits everywhere."""


def _loss(sums: Values) -> Values:
    """Return the mean loss of a hidden token; 0 where no token was hidden."""
    mean: Values = np.zeros(sums.shape[:-1])
    np.divide(sums[..., 0], sums[..., 1], out=mean, where=sums[..., 1] > 0)
    return mean


def _perplexity(sums: Values) -> Values:
    return np.exp(np.minimum(_loss(sums), LARGEST_LOSS))


def _masked_accuracy(sums: Values) -> Values:
    """Return the share of the hidden tokens that are predicted, 0 to 1; 0 where no token was hidden."""
    share: Values = np.zeros(sums.shape[:-1])
    np.divide(sums[..., 2], sums[..., 1], out=share, where=sums[..., 1] > 0)
    return share


SCORES: dict[str, Callable[[Values], Any]] = {
    "loss": _loss,
    "masked_accuracy": _masked_accuracy,
    "perplexity": _perplexity,
}
"""Each score from sums over rows, shape (..., 3): losses in nats, hidden tokens, and hits."""
