"""A split as a model takes it, and its batches for a pass without gradients."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from trainable.inputs.batches import evaluation_batches

TOKEN_BUDGET = {"cpu": 1024, "cuda": 8192}
"""Tokens an evaluation batch holds at most, padding included, by kind of device: on a CPU, what its caches
hold; on a GPU, what keeps it busy, and no more: a small split in one large batch is mostly padding."""
BATCH_COST = {"cpu": 128, "cuda": 8192}
"""What a batch takes beside its tokens, as so many tokens: on a CPU measured with MiniLM (benchmarks/RESULTS.md); on a
GPU not measured, but as much as the largest batch, as launching its kernels takes longer than computing it."""


class Inputs(Protocol):
    """What a model is fed: the rows of one split, as token ids or as the output of its frozen layers."""

    @property
    def identity(self) -> str:
        """What tells these rows, as they are after truncation, from all others of the same tokenizer."""

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each row after truncation, shape (N,)."""

    def used_ids(self) -> NDArray[np.int64] | None:
        """The token ids that occur in the rows, ascending; none where the rows hold no ids."""

    def batch(self, rows: NDArray[np.int64], multiple: int = 1) -> dict[str, torch.Tensor]:
        """Keyword arguments of the model for these rows, tensors of shape (B, T, ...).

        T is a multiple of `multiple`, or the most that any row may have.
        """


@dataclass(frozen=True)
class Split:
    """The inputs and labels of one split."""

    inputs: Inputs
    labels: NDArray[np.int64]
    """Shape (N,)."""


def batches_of(inputs: Inputs, device: torch.device) -> list[NDArray[np.int64]]:
    """All rows in batches for a pass without gradients."""
    return evaluation_batches(inputs.lengths, TOKEN_BUDGET[device.type], BATCH_COST[device.type])
