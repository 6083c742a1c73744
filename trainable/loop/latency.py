"""How long models take for a single row, as their users wait for it, even while other processes compute."""

import statistics
import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from transformers import PreTrainedModel

from trainable.compute.device import autocast
from trainable.compute.forward import forward
from trainable.inputs.split import Inputs

MOST_ROWS = 16
"""Most rows that are timed, spread evenly over the split."""
ROUNDS = 5
"""How often each row is timed. Its shortest time counts: the others were disturbed."""


class Timed(NamedTuple):
    """A model to time."""

    model: PreTrainedModel
    """The whole model, in evaluation mode, on its device."""
    inputs: Inputs
    """Rows as users give them: truncated."""
    precision: str
    """Precision of matrix products."""


@torch.inference_mode()
def latencies(models: Sequence[Timed], device: torch.device) -> list[float]:
    """Return the milliseconds of a call with one row for each model, without tokenisation: the median over rows.

    The models take turns, so that what disturbs one disturbs the others, too.
    """
    batches = [_batches(timed.inputs) for timed in models]
    shortest = [[float("inf")] * len(of) for of in batches]
    for round_ in range(ROUNDS + 1):
        for number, timed in enumerate(models):
            with autocast(timed.precision, device):  # around the calls, so that weights become bfloat16 only once
                for row, batch in enumerate(batches[number]):
                    spent = _milliseconds(timed, batch, device)
                    if round_:  # the first calls allocate memory and load kernels
                        shortest[number][row] = min(shortest[number][row], spent)
    return [statistics.median(times) for times in shortest]


def _batches(inputs: Inputs) -> list[dict[str, torch.Tensor]]:
    rows = np.linspace(0, len(inputs.lengths) - 1, min(MOST_ROWS, len(inputs.lengths))).round().astype(np.int64)
    return [inputs.batch(rows[place : place + 1]) for place in range(len(rows))]


def _milliseconds(timed: Timed, batch: dict[str, torch.Tensor], device: torch.device) -> float:
    begin = time.perf_counter()
    forward(timed.model, batch, device, timed.precision).cpu()  # the copy waits for a GPU
    return 1000 * (time.perf_counter() - begin)
