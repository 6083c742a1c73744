"""Pairs of texts for a bi-encoder: each text of a pair is encoded by itself."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from trainable.data.examples import Examples
from trainable.inputs.tokens import Tokens, check_encoding, template_of, tokenize
from trainable.model.pooling import BI_ENCODER


@dataclass(frozen=True)
class TokensApart(Tokens):
    """The ids of N pairs of texts; `template` is that of one text.

    The encoder gets 2 * B sequences for B rows: the first texts of all rows, then the second texts.
    """

    @cached_property
    def _texts(self) -> tuple[Tokens, ...]:
        return tuple(Tokens((sequence,), self.template) for sequence in self.sequences)

    def lengths(self, padding_length: int) -> NDArray[np.int64]:
        """Return the tokens of both texts of every row, each text truncated to `padding_length`, shape (N,)."""
        first, second = (text.lengths(padding_length) for text in self._texts)
        return first + second

    def widths(self, padding_length: int) -> NDArray[np.int64]:
        """Return the tokens of the longer text of every row, shape (N,)."""
        first, second = (text.lengths(padding_length) for text in self._texts)
        return np.maximum(first, second)

    def batch(self, rows: NDArray[np.int64], padding_length: int, width: int | None = None) -> dict[str, torch.Tensor]:
        """Return rows as the input of a bi-encoder: the arrays of `Tokens.batch`, of shape (2 * B, T)."""
        if width is None:
            width = int(self.widths(padding_length)[rows].max(initial=0))
        first, second = (text.batch(rows, padding_length, width) for text in self._texts)
        return {name: torch.cat([first[name], second[name]]) for name in first}

    def used_ids(self, rows: NDArray[np.int64], padding_length: int) -> NDArray[np.int64]:
        """Return the ids that occur in these rows, ascending, with special tokens and padding."""
        return np.unique(np.concatenate([text.used_ids(rows, padding_length) for text in self._texts]))

    def digest(self, rows: NDArray[np.int64], padding_length: int) -> str:
        """Return the SHA-256 (hex) of these rows' ids, in order, after truncation and without special tokens."""
        digests = (text.digest(rows, padding_length) for text in self._texts)
        return hashlib.sha256(" ".join(digests).encode()).hexdigest()


def tokenize_for(pooling: str, tokenizer: PreTrainedTokenizerBase, table: Examples) -> Tokens:
    """Tokenise a table as a model with this setting of `pooling` reads it.

    Raises:
        ConfigError: as `tokenize` and `encoded_apart`.
    """
    tokens = tokenize(tokenizer, table)
    return encoded_apart(tokens, tokenizer, table) if pooling == BI_ENCODER else tokens


def encoded_apart(tokens: Tokens, tokenizer: PreTrainedTokenizerBase, table: Examples) -> Tokens:
    """Return the tokens of a table whose texts a bi-encoder reads; those of single texts stay as they are.

    Args:
        tokens: of the table, as `tokenize` returns them.
        tokenizer: that made them.
        table: the texts.

    Raises:
        ConfigError: if the tokenizer encodes a single text in a way that is not supported.
    """
    if table.text_b is None:
        return tokens
    template = template_of(tokenizer, 1)
    for column, sequence in zip((table.text, table.text_b), tokens.sequences, strict=True):
        check_encoding(tokenizer, Examples(column, None, table.labels), Tokens((sequence,), template))
    return TokensApart(tokens.sequences, template)
