"""A masked language model of transformers that computes its head only where tokens are hidden.

The head's products with the vocabulary are most of the work of a small encoder, and 85 % of them would be for tokens
that nobody asks for. The heads of transformers read each token by itself, so the logits are the same.
"""

from typing import Any

import torch
from torch import nn
from torch.nn import functional
from transformers import PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput


def at_hidden_tokens(model: PreTrainedModel) -> None:
    """Let a masked language model give the sums that `MaskedLanguage` needs, in the place of logits."""
    kind = type(model)
    model.__class__ = type(kind.__name__, (_AtHiddenTokens, kind), {"__module__": __name__})


class _AtHiddenTokens(PreTrainedModel):
    """Goes before a class of transformers, whose `forward` it calls."""

    def forward(
        self, hidden_places: torch.Tensor, hidden_ids: torch.Tensor, **inputs: torch.Tensor
    ) -> SequenceClassifierOutput:
        """Return for each row the sum of the losses of its hidden tokens, their number, and the hits, shape (B, 3).

        While the model trains, no hits are counted.

        Args:
            hidden_places: the hidden tokens' numbers in the flattened batch, ascending, shape (M,).
            hidden_ids: the ids that were there, shape (M,).
            inputs: the other inputs of the model, such as `input_ids` of shape (B, T).
        """
        rows, width = inputs["attention_mask"].shape
        hook = self.base_model.register_forward_hook(_Select(hidden_places))
        try:
            logits: torch.Tensor = super().forward(**inputs).logits[0]  # (M, V)
        finally:
            hook.remove()
        losses = functional.cross_entropy(logits.float(), hidden_ids, reduction="none")  # (M,)
        hits = torch.zeros_like(losses) if self.training else (logits.argmax(-1) == hidden_ids).float()
        counts = torch.bincount(hidden_places // width, minlength=rows)  # (B,)
        # Unlike `index_add`, this adds in the same order each time, also on a GPU.
        sums = [torch.segment_reduce(values, "sum", lengths=counts, axis=0) for values in (losses, hits)]
        return SequenceClassifierOutput(logits=torch.stack([sums[0], counts.float(), sums[1]], dim=1))


class _Select:
    """A hook that leaves only some tokens of a base model's output, as the tokens of one row."""

    def __init__(self, places: torch.Tensor) -> None:
        self._places = places

    def __call__(self, _: nn.Module, given: Any, output: Any) -> Any:
        """Replace the states of all tokens, shape (B, T, H), by those of some, shape (1, M, H)."""
        output["last_hidden_state"] = output[0].flatten(0, 1)[self._places].unsqueeze(0)
        return output
