"""Cuts the word embeddings to the token ids in a stage's data, since the other rows get no gradient.

The embeddings are half the weights of a small encoder, and each step would zero, clip and update a gradient for all
of them. The result for the rows left out is known in advance: their moments stay zero, so only decoupled weight decay
changes them. The model trains to the same weights (tests/trainable/model/test_vocabulary.py).
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
    """Replaces a model's word embeddings during a stage; takes the same ids, but only those in use.

    Args:
        whole: the embeddings of all token ids, shape (V, H).
        ids: the token ids in use, ascending.
    """

    def __init__(self, whole: nn.Embedding, ids: NDArray[np.int64]) -> None:
        super().__init__()
        self.ids = torch.from_numpy(ids).to(whole.weight.device)
        # -1 is no row: another id raises an error instead of reading a wrong row.
        places = torch.full((len(whole.weight),), -1, device=whole.weight.device)
        places[self.ids] = torch.arange(len(ids), device=places.device)
        self.register_buffer("places", places, persistent=False)
        self.weight = nn.Parameter(whole.weight.detach()[self.ids])
        self._whole = [whole]  # in a list, so that it is no submodule
        # The padding row has no gradient in `whole`, so it has none here.
        self._padding = None if whole.padding_idx is None else int(places[whole.padding_idx])

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Return embeddings of shape (B, T, H) for ids of shape (B, T)."""
        assert isinstance(self.places, torch.Tensor)
        return functional.embedding(self.places[ids], self.weight, self._padding)

    @torch.no_grad()
    def restore(self, model: PreTrainedModel, kept: float) -> torch.Tensor:
        """Put the whole embeddings, with the trained rows, back into the model, and return their weights.

        Args:
            model: the model whose embeddings this module replaces.
            kept: the factor that weight decay leaves of a row without gradient.
        """
        (whole,) = self._whole
        whole.weight.mul_(kept)
        whole.weight[self.ids] = self.weight
        model.set_input_embeddings(whole)
        return whole.weight


def cut_embeddings(model: PreTrainedModel, stage: Stage, *splits: NDArray[np.int64] | None) -> UsedEmbeddings | None:
    """Replace a model's word embeddings by those of the ids in use; None if that is not exact, or not worth it.

    Args:
        model: the model; its word embeddings are replaced.
        stage: how it trains. The optimiser must not change a row without gradient, except by decoupled weight decay.
            This excludes Adafactor, which scales rows by other rows, and weight decay inside the gradient.
        splits: the token ids that occur in each split; None for a split without ids.
    """
    if any(ids is None for ids in splits):
        return None
    decoupled = stage.optimizer == "adamw" or (stage.weight_decay == 0 and stage.optimizer != "adafactor")
    try:
        whole = model.get_input_embeddings()
    except NotImplementedError:  # CANINE has several tables
        return None
    if not decoupled or type(whole) is not nn.Embedding or not whole.weight.requires_grad:
        return None
    shared = sum(p is whole.weight for _, p in model.named_parameters(remove_duplicate=False)) > 1
    if shared or whole.max_norm is not None or whole.scale_grad_by_freq or whole.sparse:
        return None
    ids = np.unique(np.concatenate([ids for ids in splits if ids is not None]))
    if len(ids) > LARGEST_SHARE * whole.num_embeddings:
        return None
    if whole.padding_idx is not None:
        ids = np.union1d(ids, [whole.padding_idx])
    used = UsedEmbeddings(whole, ids)
    model.set_input_embeddings(used)
    return used
