"""The forward pass of a batch, on a device and in a precision."""

import torch
from transformers import PreTrainedModel

from trainable.compute.device import autocast
from trainable.compute.kernels import kernels


def forward(
    model: PreTrainedModel, batch: dict[str, torch.Tensor], device: torch.device, precision: str
) -> torch.Tensor:
    """Return the logits of a batch in float32, shape (B, C)."""
    with autocast(precision, device), kernels(device):
        logits: torch.Tensor = model(**on_device(batch, device)).logits
    return logits.float()


def on_device(batch: dict[str, torch.Tensor], device: torch.device) -> dict[str, torch.Tensor]:
    """Copy tensors to a device, without waiting for the earlier work of a GPU."""
    if device.type == "cuda":  # such a copy needs pinned memory
        batch = {name: tensor if tensor.is_cuda else tensor.pin_memory() for name, tensor in batch.items()}
    return {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}
