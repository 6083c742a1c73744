"""A masked language model of transformers that computes its head only where tokens are hidden.

The head's products with the vocabulary are most of the work of a small encoder, and 85 % of them would be for tokens
that nobody asks for. The heads of transformers read each token by itself, so the logits are the same. For pairs of
sentences, a linear layer on the first token predicts whether the second sentence follows the first (BERT).
"""

from typing import Any

import torch
from torch import nn
from torch.nn import functional
from transformers import PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

NEXT_SENTENCE = "next_sentence"
"""Name of the layer for pairs of sentences."""


def at_hidden_tokens(model: PreTrainedModel, pairs: bool = False) -> set[str]:
    """Let a masked language model give the numbers that `MaskedLanguage` needs, in the place of logits.

    Args:
        model: a masked language model of transformers, changed in place.
        pairs: whether its rows are pairs of sentences.

    Returns:
        The names of the new parameters, which no weights have: a linear layer for pairs.
    """
    kind = type(model)
    model.__class__ = type(kind.__name__, (_AtHiddenTokens, kind), {"__module__": __name__})
    if not pairs:
        return set()
    layer = nn.Linear(model.config.hidden_size, 1)
    model.add_module(NEXT_SENTENCE, layer)
    return {f"{NEXT_SENTENCE}.{name}" for name, _ in layer.named_parameters()}


class _AtHiddenTokens(PreTrainedModel):
    """Goes before a class of transformers, whose `forward` it calls."""

    def forward(
        self, hidden_places: torch.Tensor, hidden_ids: torch.Tensor, **inputs: torch.Tensor
    ) -> SequenceClassifierOutput:
        """Return for each row the sum of the losses of its hidden tokens, their number, and the hits, shape (B, 3).

        While the model trains, no hits are counted. For pairs of sentences the shape is (B, 4): the log-odds that the
        second one is the next.

        Args:
            hidden_places: the hidden tokens' numbers in the flattened batch, ascending, shape (M,).
            hidden_ids: the ids that were there, shape (M,).
            inputs: the other inputs of the model, such as `input_ids` of shape (B, T).
        """
        rows, width = inputs["attention_mask"].shape
        select = _Select(hidden_places, inputs["attention_mask"])
        hook = self.base_model.register_forward_hook(select)
        try:
            logits: torch.Tensor = super().forward(**inputs).logits[0]  # (M, V)
        finally:
            hook.remove()
        losses = functional.cross_entropy(logits.float(), hidden_ids, reduction="none")  # (M,)
        hits = torch.zeros_like(losses) if self.training else (logits.argmax(-1) == hidden_ids).float()
        counts = torch.bincount(hidden_places // width, minlength=rows)  # (B,)
        # Unlike `index_add`, this adds in the same order each time, also on a GPU.
        sums = [torch.segment_reduce(values, "sum", lengths=counts, axis=0) for values in (losses, hits)]
        numbers = [sums[0], counts.float(), sums[1]]
        if NEXT_SENTENCE in self._modules:
            numbers.append(self.get_submodule(NEXT_SENTENCE)(select.first).float().squeeze(1))
        return SequenceClassifierOutput(logits=torch.stack(numbers, dim=1))


class _Select:
    """A hook that leaves only some tokens of a base model's output, as the tokens of one row.

    Args:
        places: the numbers of these tokens in the flattened batch, shape (M,).
        mask: 0 for padding, shape (B, T).
    """

    def __init__(self, places: torch.Tensor, mask: torch.Tensor) -> None:
        self._places, self._mask = places, mask
        self.first = torch.empty(0)
        """The states of each row's first token, shape (B, H)."""

    def __call__(self, _: nn.Module, given: Any, output: Any) -> Any:
        """Replace the states of all tokens, shape (B, T, H), by those of some, shape (1, M, H)."""
        rows = torch.arange(len(self._mask), device=self._mask.device)
        self.first = output[0][rows, self._mask.argmax(1)]
        output["last_hidden_state"] = output[0].flatten(0, 1)[self._places].unsqueeze(0)
        return output
