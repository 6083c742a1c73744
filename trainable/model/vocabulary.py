"""Word embeddings cut to the words of a stage's data: a row that no batch reads gets no gradient.

The embeddings are half the weights of a small encoder, and each step would zero, clip and update a gradient for all
of them. What becomes of the rows that are left out is known beforehand: their moments stay zero, so that decoupled
weight decay alone moves them. The model trains to the same weights (tests/trainable/model/test_vocabulary.py).
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional
from transformers import PreTrainedModel

from trainable.settings.stage import Stage

LARGEST_SHARE = 0.5
"""Train the whole table if the data use more than this share of the vocabulary."""


class UsedEmbeddings(nn.Module):
    """Stands in for a model's word embeddings; takes the same ids, of which only those in use may come.

    Args:
        whole: the embeddings of all words, V x H.
        ids: the words in use, ascending.
    """

    def __init__(self, whole: nn.Embedding, ids: NDArray[np.int64]) -> None:
        super().__init__()
        self.ids = torch.from_numpy(ids).to(whole.weight.device)
        # -1 is no row: an error, never a wrong word.
        places = torch.full((len(whole.weight),), -1, device=whole.weight.device)
        places[self.ids] = torch.arange(len(ids), device=places.device)
        self.register_buffer("places", places, persistent=False)
        self.weight = nn.Parameter(whole.weight.detach()[self.ids])
        self._whole = [whole]  # in a list, so that it is no part of the model
        # The padding's row has no gradient there, so it has none here.
        self._padding = None if whole.padding_idx is None else int(places[whole.padding_idx])

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Embeddings of shape (B, T, H) for ids of shape (B, T)."""
        assert isinstance(self.places, torch.Tensor)
        return functional.embedding(self.places[ids], self.weight, self._padding)

    @torch.no_grad()
    def restore(self, model: PreTrainedModel, kept: float) -> torch.Tensor:
        """Put the whole embeddings back into the model, trained; returns their weights.

        Args:
            model: whose embeddings this stands in for.
            kept: what weight decay has left of a row without gradient, as a factor.
        """
        (whole,) = self._whole
        whole.weight.mul_(kept)
        whole.weight[self.ids] = self.weight
        model.set_input_embeddings(whole)
        return whole.weight


def cut_embeddings(model: PreTrainedModel, stage: Stage, *splits: NDArray[np.int64] | None) -> UsedEmbeddings | None:
    """Let a model train the embeddings of some words only; None where that is not the same, or not worth it.

    Args:
        model: its word embeddings are replaced.
        stage: how it trains. An optimiser must leave alone what has no gradient, but for AdamW's decay: not
            Adafactor, which scales rows by what others have, nor any with weight decay inside the gradient.
        splits: the ids that the rows of each split hold; none where they hold no ids.
    """
    if any(words is None for words in splits):
        return None
    decoupled = stage.optimizer == "adamw" or (stage.weight_decay == 0 and stage.optimizer != "adafactor")
    try:
        whole = model.get_input_embeddings()
    except NotImplementedError:  # CANINE has several
        return None
    if not decoupled or type(whole) is not nn.Embedding or not whole.weight.requires_grad:
        return None
    shared = sum(p is whole.weight for _, p in model.named_parameters(remove_duplicate=False)) > 1
    if shared or whole.max_norm is not None or whole.scale_grad_by_freq or whole.sparse:
        return None
    words = np.unique(np.concatenate([words for words in splits if words is not None]))
    if len(words) > LARGEST_SHARE * whole.num_embeddings:
        return None
    if whole.padding_idx is not None:
        words = np.union1d(words, [whole.padding_idx])
    used = UsedEmbeddings(whole, words)
    model.set_input_embeddings(used)
    return used
