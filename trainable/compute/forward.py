"""The forward pass of a batch, on a device and in a precision."""

import torch
from transformers import PreTrainedModel

from trainable.compute.decoding import sums_and_ids
from trainable.compute.device import autocast
from trainable.compute.kernels import kernels

ANSWER_PLACES = "answer_places"
"""Key of a batch whose rows have several answers, such as one for each word, shape (B, W): which of the model's logits
gives each answer, counted over all tokens or sequences of the batch; -1 for none."""

TARGET_IDS = "target_ids"
"""Key of a batch for a model with a decoder: the ids of the target texts, shape (B, S), see `sums_and_ids`."""
REAL_TOKENS = "real_tokens"
"""Key of a batch without an attention mask: which tokens are no padding, shape (B, T), as a mask has them."""
_NOT_FOR_MODELS = {ANSWER_PLACES, TARGET_IDS, REAL_TOKENS}


def forward(
    model: PreTrainedModel, batch: dict[str, torch.Tensor], device: torch.device, precision: str
) -> torch.Tensor:
    """Return the logits of a batch in float32, shape (B, C), or (B, W, C) if it has `ANSWER_PLACES`.

    If it has `TARGET_IDS`, the result is that of `sums_and_ids`.
    """
    targets = batch.get(TARGET_IDS)
    with autocast(precision, device), kernels(device):
        if targets is not None:
            return sums_and_ids(model, on_device(encoder_inputs(batch), device), targets.to(device))
        logits: torch.Tensor = model(**on_device(encoder_inputs(batch), device)).logits
    return answers_of(logits.float(), batch)


def answers_of(logits: torch.Tensor, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return the logits of the answers of a batch, shape (B, C) or (B, W, C), from those of the model.

    Answers without a place, such as a word without a token, have zeros: all tags are equally likely, and the first one
    is the answer.

    Args:
        logits: of rows, shape (B, C), of tokens, shape (B, T, C), or of sequences, shape (S, C).
        batch: the input of the model.
    """
    if ANSWER_PLACES not in batch:
        return logits
    places, flat = batch[ANSWER_PLACES].to(logits.device), logits.flatten(0, -2)
    index = places.clamp(min=0).flatten().unsqueeze(-1).expand(-1, flat.shape[-1])
    found: torch.Tensor = flat.gather(0, index).unflatten(0, places.shape)
    return found.masked_fill((places < 0).unsqueeze(-1), 0.0)


def encoder_inputs(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the entries of a batch that the model takes."""
    return {name: tensor for name, tensor in batch.items() if name not in _NOT_FOR_MODELS}


def real_tokens(batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return which tokens of a batch are no padding, shape (B, T)."""
    return batch["attention_mask"] if "attention_mask" in batch else batch[REAL_TOKENS]


def on_device(batch: dict[str, torch.Tensor], device: torch.device) -> dict[str, torch.Tensor]:
    """Copy tensors to a device, without waiting for the earlier work of a GPU."""
    if device.type == "cuda":  # such a copy needs pinned memory
        batch = {name: tensor if tensor.is_cuda else tensor.pin_memory() for name, tensor in batch.items()}
    return {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}
