"""Logits of a model for a split: rows sorted by length, large batches, no gradients."""

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from trainable.clock import Part
from trainable.compute.device import Ranks, autocast, matmul_peak
from trainable.compute.forward import forward, real_tokens
from trainable.compute.memory import split_to_fit
from trainable.errors import TrialError
from trainable.inputs.split import Inputs, batches_of
from trainable.model.views import flops_per_token


def ideal_seconds(model: PreTrainedModel, device: torch.device, precision: str, trains: bool) -> float:
    """Return the seconds of one token's products with the layers' weights at the device's measured peak speed."""
    return flops_per_token(model, trains) / matmul_peak(device, precision)


@torch.inference_mode()
def compute_logits(
    model: PreTrainedModel,
    inputs: Inputs,
    device: torch.device,
    precision: str = "fp32",
    ranks: Ranks | None = None,
    spent: Part | None = None,
) -> torch.Tensor:
    """Return the logits of all rows in order, on the CPU, shape (N, C), or (N, W, C) if rows have W answers.

    They are what `Inputs.for_scores` makes of the model's outputs.

    Ranks share the work, and each gets all logits.

    Raises:
        TrialError: if memory has no room for a single row.
    """
    ranks = ranks or Ranks()
    model.eval()
    classes: int = model.config.num_labels  # type: ignore[assignment]  # always set in a classifier
    logits = torch.zeros(len(inputs.lengths), *inputs.answers, classes)
    batches = batches_of(inputs, device)
    lacking = torch.zeros((), device=device)
    ideal = 0.0 if spent is None else ideal_seconds(model, device, precision, trains=False)

    def compute(rows: NDArray[np.int64]) -> torch.Tensor:
        batch = inputs.batch(rows)
        if spent is not None:
            spent.count(real_tokens(batch), ideal)
        return inputs.for_scores(rows, forward(model, batch, device, precision).cpu())

    with autocast(precision, device):  # around all batches, so that the weights are copied to bfloat16 only once
        for rows, part in split_to_fit(batches[ranks.rank :: ranks.size], inputs.lengths, compute):
            if part is None:
                lacking += 1  # the exchange tells the other ranks, so that all raise the same error
                break
            logits[torch.from_numpy(rows)] = part
    shared = logits.to(device)
    ranks.sum_(shared, lacking)  # every row was filled by one rank and is zero on the others
    if lacking.item():
        raise TrialError(
            "out of memory: not even one row can be evaluated at a time; lower target.padding_length (for images "
            "target.image_size)"
        )
    return shared.cpu()
