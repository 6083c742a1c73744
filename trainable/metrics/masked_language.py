"""The scores of predicted tokens and next sentences, from sums over rows.

The sums have the shape (..., 6): losses of hidden tokens in nats, hidden tokens, and hits; and of pairs of sentences
the weighted losses of the next sentence, hits, and pairs, all 0 for single texts.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

LARGEST_LOSS = 50.0
"""The perplexity of a higher loss is that of this one, so that it stays a number that fits everywhere."""


def _share(part: Values, whole: Values) -> Values:
    """Return a quotient, 0 where the divisor is 0."""
    share: Values = np.divide(part, whole, out=np.zeros(part.shape), where=whole > 0)
    return share


def _loss(sums: Values) -> Values:
    """Return the mean loss of a hidden token, plus that of the next sentence; 0 where no token was hidden."""
    return _share(sums[..., 0] + sums[..., 3], sums[..., 1])


def _perplexity(sums: Values) -> Values:
    return np.exp(np.minimum(_share(sums[..., 0], sums[..., 1]), LARGEST_LOSS))


def _masked_accuracy(sums: Values) -> Values:
    """Return the share of the hidden tokens that are predicted, 0 to 1; 0 where no token was hidden."""
    return _share(sums[..., 2], sums[..., 1])


def next_accuracy(sums: Values) -> Values:
    """Return the share of the pairs of sentences for which it is right whether they follow each other, 0 to 1."""
    return _share(sums[..., 4], sums[..., 5])


SCORES: dict[str, Callable[[Values], Any]] = {
    "loss": _loss,
    "masked_accuracy": _masked_accuracy,
    "perplexity": _perplexity,
}
"""Each score that can select a model."""
