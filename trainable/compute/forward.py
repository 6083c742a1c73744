"""A batch through a model, on a device and in an arithmetic."""

import torch
from transformers import PreTrainedModel

from trainable.compute.device import autocast
from trainable.compute.kernels import kernels


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
