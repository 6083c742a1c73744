"""The forward pass of a batch, on a device and in a precision."""

import torch
from transformers import PreTrainedModel

from trainable.compute.device import autocast
from trainable.compute.kernels import kernels

WORD_PLACES = "word_places"
"""Key of a batch for a head that answers for words: the token that answers for each word, shape (B, W), or -1."""


def forward(
    model: PreTrainedModel, batch: dict[str, torch.Tensor], device: torch.device, precision: str
) -> torch.Tensor:
    """Return the logits of a batch in float32, shape (B, C), or (B, W, C) if it has `WORD_PLACES`.

    Words without a token have zeros: all tags are equally likely, and the first one is the answer.
    """
    places = batch.get(WORD_PLACES)
    with autocast(precision, device), kernels(device):
        logits: torch.Tensor = model(**on_device(encoder_inputs(batch), device)).logits
    return logits.float() if places is None else _of_words(logits.float(), places.to(logits.device))


def _of_words(logits: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Return the logits of words, shape (B, W, C), from those of tokens, shape (B, T, C)."""
    index = places.clamp(min=0).unsqueeze(-1).expand(-1, -1, logits.shape[-1])
    return logits.gather(1, index).masked_fill((places < 0).unsqueeze(-1), 0.0)


def encoder_inputs(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the entries of a batch that the model takes."""
    return {name: tensor for name, tensor in batch.items() if name != WORD_PLACES}


def on_device(batch: dict[str, torch.Tensor], device: torch.device) -> dict[str, torch.Tensor]:
    """Copy tensors to a device, without waiting for the earlier work of a GPU."""
    if device.type == "cuda":  # such a copy needs pinned memory
        batch = {name: tensor if tensor.is_cuda else tensor.pin_memory() for name, tensor in batch.items()}
    return {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}
