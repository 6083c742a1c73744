"""How long a model takes for a single row, as a user of the model waits for it."""

import statistics
import time

import numpy as np
import torch
from transformers import PreTrainedModel

from trainable.compute.device import autocast
from trainable.compute.forward import forward
from trainable.inputs.split import Inputs

MOST_ROWS = 48
"""Most rows that are timed, spread evenly over the split."""
WARM_UP = 3
"""Calls before the first one that is timed: they allocate memory, and the first ones on a GPU load its kernels."""


@torch.inference_mode()
def median_latency(model: PreTrainedModel, inputs: Inputs, device: torch.device, precision: str) -> float:
    """Return the median milliseconds of a call with one row; tokenisation is not included.

    Args:
        model: the whole model, in evaluation mode, on the device.
        inputs: rows as users give them: truncated, without further padding.
        device: of the model.
        precision: of its matrix products.
    """
    rows = np.linspace(0, len(inputs.lengths) - 1, min(MOST_ROWS, len(inputs.lengths))).round().astype(np.int64)
    batches = [inputs.batch(rows[place : place + 1]) for place in range(len(rows))]
    times = []
    with autocast(precision, device):  # around all calls, so that the weights are copied to bfloat16 only once
        for batch in [*batches[:WARM_UP], *batches]:
            begin = time.perf_counter()
            forward(model, batch, device, precision).cpu()  # the copy waits for a GPU
            times.append(1000 * (time.perf_counter() - begin))
    return statistics.median(times[-len(batches) :])
