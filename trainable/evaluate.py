"""Logits of a model over a split, and its scores: sorted by length, in large batches, no gradient."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional
from transformers import PreTrainedModel

from trainable.batches import evaluation_batches
from trainable.clock import Part
from trainable.device import Ranks, autocast, matmul_peak
from trainable.errors import TrialError
from trainable.kernels import kernels
from trainable.memory import in_batches
from trainable.metrics import confusion, scores
from trainable.network import flops_per_token

TOKEN_BUDGET = {"cpu": 1024, "cuda": 8192}
"""Tokens an evaluation batch holds at most, padding included, by kind of device: on a CPU, what its caches
hold; on a GPU, what keeps it busy, and no more: a small split in one large batch is mostly padding."""
CALL = {"cpu": 128, "cuda": 8192}
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

    def words(self) -> NDArray[np.int64] | None:
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


def forward(
    model: PreTrainedModel, batch: dict[str, torch.Tensor], device: torch.device, precision: str
) -> torch.Tensor:
    """Logits of a batch in float32, shape (B, C)."""
    with autocast(precision, device), kernels(device):
        logits: torch.Tensor = model(**on_device(batch, device)).logits
    return logits.float()


def on_device(batch: dict[str, torch.Tensor], device: torch.device) -> dict[str, torch.Tensor]:
    """The same tensors there; the copy does not wait for what a GPU has to do before."""
    if device.type == "cuda":  # which takes pinned memory
        batch = {name: tensor if tensor.is_cuda else tensor.pin_memory() for name, tensor in batch.items()}
    return {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}


def batches_of(inputs: Inputs, device: torch.device) -> list[NDArray[np.int64]]:
    """All rows in batches for a pass without gradients."""
    return evaluation_batches(inputs.lengths, TOKEN_BUDGET[device.type], CALL[device.type])


def ideal_seconds(model: PreTrainedModel, device: torch.device, precision: str, trains: bool) -> float:
    """What a token's products with the weights of the layers would take at the device's measured peak."""
    return flops_per_token(model, trains) / matmul_peak(device, precision)


@torch.inference_mode()
def predict(
    model: PreTrainedModel,
    inputs: Inputs,
    device: torch.device,
    precision: str = "fp32",
    ranks: Ranks | None = None,
    spent: Part | None = None,
) -> torch.Tensor:
    """Logits of all rows in their order, on the CPU, shape (N, C); ranks share the work and all get all.

    Raises:
        TrialError: if memory has no room for a single row.
    """
    ranks = ranks or Ranks()
    model.eval()
    classes: int = model.config.num_labels  # type: ignore[assignment]  # always set in a classifier
    logits = torch.zeros(len(inputs.lengths), classes)
    batches = batches_of(inputs, device)
    lacking = torch.zeros((), device=device)
    ideal = 0.0 if spent is None else ideal_seconds(model, device, precision, trains=False)

    def compute(rows: NDArray[np.int64]) -> torch.Tensor:
        batch = inputs.batch(rows)
        if spent is not None:
            spent.count(batch["attention_mask"], ideal)
        return forward(model, batch, device, precision).cpu()

    with autocast(precision, device):  # around all batches: the weights' copies in bfloat16 are made once
        for rows, made in in_batches(batches[ranks.rank :: ranks.size], inputs.lengths, compute):
            if made is None:
                lacking += 1  # told to the other ranks by the exchange, so that all end alike
                break
            logits[torch.from_numpy(rows)] = made
    shared = logits.to(device)
    ranks.sum_(shared, lacking)  # every row was filled by one rank and is zero on the others
    if lacking.item():
        raise TrialError("out of memory: not even one row can be evaluated at a time; see target.padding_length")
    return shared.cpu()


def score(logits: torch.Tensor, labels: NDArray[np.int64]) -> tuple[dict[str, float], NDArray[np.int64]]:
    """Every metric of `trainable.metrics` and the confusion counts of shape (C, C).

    The loss is the plain mean cross-entropy, whatever weights and smoothing the training uses.
    """
    loss = float(functional.cross_entropy(logits, torch.from_numpy(labels)))
    counts = confusion(labels, logits.argmax(-1).numpy(), logits.shape[-1])
    return {"loss": loss, **{name: float(value) for name, value in scores(counts).items()}}, counts
