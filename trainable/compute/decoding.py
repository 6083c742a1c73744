"""What a model with a decoder gives for rows with target texts: sums of its losses, and the texts that it generates."""

from typing import Any

import torch
from torch.nn import functional

IGNORED = -100
"""Takes the place of a token after the end of a target text."""


def sums_and_ids(model: Any, inputs: dict[str, torch.Tensor], targets: torch.Tensor) -> torch.Tensor:
    """Return numbers of each row: three sums, and if the model does not train, the ids of the text that it generates.

    The sums are `trainable.metrics.sequence_to_sequence.SUMS`. They come from one forward pass that reads the target
    tokens (teacher forcing).

    Args:
        model: a `PreTrainedModel` with a decoder.
        inputs: its input, each tensor of shape (B, T).
        targets: ids of the target texts, shape (B, S), with `IGNORED` after their ends.

    Returns:
        Float32, shape (B, 3), or (B, 3 + `max_new_tokens`): an id has at most 24 bits.
    """
    before = model.prepare_decoder_input_ids_from_labels(labels=targets)
    logits = model(**inputs, decoder_input_ids=before, use_cache=False).logits.float()  # (B, S, V)
    real = targets != IGNORED
    log_probabilities = functional.log_softmax(logits, dim=-1)
    losses = -log_probabilities.gather(-1, targets.clamp(min=0).unsqueeze(-1)).squeeze(-1)
    even = -log_probabilities.mean(-1)
    sums = [each.masked_fill(~real, 0.0).sum(1) for each in (losses, even)]
    columns = torch.stack([*sums, real.sum(1).float()], dim=1)
    return columns if model.training else torch.cat([columns, generated_ids(model, inputs).float()], dim=1)


@torch.no_grad()
def generated_ids(model: Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return the ids of the texts that a model generates as its generation configuration says, padded.

    Args:
        model: the model, in evaluation mode.
        inputs: see `sums_and_ids`.

    Returns:
        Int64, shape (B, `max_new_tokens`), without the token with which a decoder starts.
    """
    config = model.generation_config
    ids: torch.Tensor = model.generate(**inputs)[:, 1:]
    padding = config.pad_token_id if config.pad_token_id is not None else model.config.pad_token_id
    return functional.pad(ids, (0, config.max_new_tokens - ids.shape[1]), value=padding)
