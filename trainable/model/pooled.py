"""A classifier whose head reads the mean or the maximum of a text's tokens, for any encoder of transformers."""

import inspect
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from trainable.model.pooling import BI_ENCODER
from trainable.model.pretrained import POOLED, kind_of_class

_RATES = ("classifier_dropout", "seq_classif_dropout", "hidden_dropout_prob", "hidden_dropout", "dropout")
"""Names that configurations give to the dropout rate before a head; the first one that is set counts."""


class PooledClassifier(PreTrainedModel):
    """An encoder, the mean or maximum of the states of its real tokens, dropout, and one linear layer.

    sentence-transformers pools in the same way (Reimers & Gurevych 2019): special tokens count, padding does not.

    Args:
        encoder: the base model; its own pooler is taken out, as nothing reads it.
        pooling: `mean` or `max`.
        classes: C, number of classes.
    """

    base_model_prefix = "encoder"
    # The encoder has chosen its attention already; this class has none.
    _supports_sdpa = _supports_flash_attn = _supports_flex_attn = _supports_attention_backend = True

    vectors = 1
    """Vectors of the encoder's width that the head reads."""

    def __init__(self, encoder: PreTrainedModel, pooling: str, classes: int) -> None:
        super().__init__(encoder.config)
        if getattr(encoder, "pooler", None) is not None:
            # An encoder that can be made without a pooler checks for None; another one calls what is there.
            can_be_none = "add_pooling_layer" in inspect.signature(type(encoder).__init__).parameters
            without: nn.Module | None = None if can_be_none else _NoPooler()
            setattr(encoder, "pooler", without)  # noqa: B010  (torch's types allow no None)
        self.encoder = encoder
        self.pooling = pooling
        self.dropout = nn.Dropout(_dropout_rate(encoder))
        self.head = nn.Linear(self.vectors * encoder.config.hidden_size, classes)
        if self.config.num_labels != classes:
            self.config.num_labels = classes

    def forward(self, attention_mask: torch.Tensor | None = None, **inputs: Any) -> SequenceClassifierOutput:
        """Return the logits of a batch, shape (B, C).

        Args:
            attention_mask: 1 for real tokens and 0 for padding, shape (B, T); none means that all are real.
            inputs: the other inputs of the encoder, such as `input_ids` of shape (B, T).
        """
        states = self.encoder(attention_mask=attention_mask, **inputs)[0]  # (B, T, H)
        mask = torch.ones(states.shape[:2], device=states.device) if attention_mask is None else attention_mask
        pooled = pool(states, mask.bool(), self.pooling)  # (B, H)
        return SequenceClassifierOutput(logits=self.head(self.dropout(self.features(pooled))))

    def features(self, pooled: torch.Tensor) -> torch.Tensor:
        """Return what the head reads, from the pooled tokens of the batch, shape (B, H)."""
        return pooled


class BiEncoderClassifier(PooledClassifier):
    """A classifier of pairs that encodes each text by itself, to vectors u and v, the means of their tokens.

    The head reads u, v, |u - v| and u * v (InferSent, Conneau et al. 2017; sentence-BERT, Reimers & Gurevych 2019). A
    batch of B pairs has 2 * B sequences: the first texts, then the second texts.

    Args:
        encoder: see `PooledClassifier`.
        classes: C, number of classes.
    """

    vectors = 4

    def __init__(self, encoder: PreTrainedModel, classes: int) -> None:
        super().__init__(encoder, "mean", classes)

    def features(self, pooled: torch.Tensor) -> torch.Tensor:
        """Return the vectors of both texts and what they have in common, shape (B, 4 * H)."""
        u, v = pooled.chunk(2)
        return torch.cat([u, v, (u - v).abs(), u * v], dim=1)


def pooled_classifier(encoder: PreTrainedModel, pooling: str, classes: int) -> PooledClassifier:
    """Return an encoder with the head that a setting of `pooling` other than `first` means."""
    if pooling == BI_ENCODER:
        return BiEncoderClassifier(encoder, classes)
    return PooledClassifier(encoder, pooling, classes)


def pool(states: torch.Tensor, real: torch.Tensor, pooling: str) -> torch.Tensor:
    """Return the mean or maximum of the real tokens of each text in float32, shape (B, H).

    Args:
        states: shape (B, T, H).
        real: whether a token is no padding, shape (B, T); at least one in each text.
        pooling: `mean` or `max`.
    """
    padding = ~real.unsqueeze(-1)  # (B, T, 1)
    if pooling == "max":
        return states.float().masked_fill(padding, -torch.inf).amax(1)
    return states.float().masked_fill(padding, 0.0).sum(1) / real.sum(1, keepdim=True)


def pooling_of(model: PreTrainedModel) -> str:
    """Return the kind of a model's head, see `trainable.model.pooling.head_kind`."""
    if isinstance(model, BiEncoderClassifier):
        return BI_ENCODER
    return model.pooling if isinstance(model, PooledClassifier) else kind_of_class(type(model).__name__)


def reads_one_vector(model: PreTrainedModel) -> bool:
    """Return whether the head reads one vector of each row, not every token."""
    return pooling_of(model) in ("first", *POOLED)


def one_token(states: torch.Tensor, lengths: NDArray[np.int64], pooling: str) -> torch.Tensor:
    """Return the token of each text that stands for all: its first token, or their mean or maximum; shape (N, H).

    Args:
        states: the tokens of the texts one after another, without padding, shape (sum of lengths, H).
        lengths: tokens of each text, shape (N,).
        pooling: `first`, `mean` or `max`.
    """
    if pooling == "first":
        return states[torch.from_numpy(np.cumsum(lengths) - lengths)]
    return torch.segment_reduce(states.float(), pooling, lengths=torch.from_numpy(lengths), axis=0)


class _NoPooler(nn.Module):
    """Takes the place of the encoder's own pooler, without weights."""

    def forward(self, *_: object) -> None:
        """Return None."""


def _dropout_rate(encoder: PreTrainedModel) -> float:
    """Return the rate before the head that the encoder's configuration states."""
    rates = (getattr(encoder.config, name, None) for name in _RATES)
    return next((float(rate) for rate in rates if isinstance(rate, float | int)), 0.0)
