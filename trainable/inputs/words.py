"""Tokens of texts whose words have an answer each: the first token of a word answers for it.

The text of the words is tokenised as running text, so that a word has the same tokens in a trial and in the
`token-classification` pipeline of transformers.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from trainable.data.checks.texts import SEPARATOR
from trainable.data.examples import Examples
from trainable.inputs.tokens import Tokens

_CHUNK = 4096  # texts tokenised at a time


@dataclass(frozen=True)
class WordTokens(Tokens):
    """The ids of N texts of words."""

    first: NDArray[np.int32]
    """The token of the text that answers for each word, from 0, shape (N, W); -1 for a word without a token, and after
    the last word."""

    @property
    def answers(self) -> tuple[int, ...]:
        """Return (W,): a row has an answer for each word."""
        return self.first.shape[1:]

    def places(self, rows: NDArray[np.int64], padding_length: int) -> NDArray[np.int64] | None:
        """Return the token of the truncated row, special tokens counted, that answers for each word, shape (B, W).

        It is -1 for a word that the truncation cuts off.
        """
        (kept,) = self._cut(rows, padding_length)
        offsets = self.sequences[0].offsets
        whole = offsets[rows + 1] - offsets[rows]
        begin = whole - kept if self.template.cuts_left else np.zeros_like(kept)
        before = next(i for i, piece in enumerate(self.template.pieces) if piece.token is None)
        place = self.first[rows].astype(np.int64) - begin[:, None]
        there = (self.first[rows] >= 0) & (place >= 0) & (place < kept[:, None])
        return np.where(there, place + before, -1)

    def followed_by(self, other: Tokens) -> WordTokens:
        """Return these rows, then those of another table with the same template and W."""
        assert isinstance(other, WordTokens)
        joined = super().followed_by(other)
        assert isinstance(joined, WordTokens)
        return replace(joined, first=np.concatenate([self.first, other.first]))


def with_words(tokens: Tokens, tokenizer: PreTrainedTokenizerBase, table: Examples) -> WordTokens:
    """Find the first token of each word.

    Args:
        tokens: of the table.
        tokenizer: that made them.
        table: texts of words, each two with `SEPARATOR` between them; labels of shape (N, W).
    """
    first = np.full(table.labels.shape, -1, dtype=np.int32)
    for start in range(0, len(table), _CHUNK):
        texts = table.text[start : start + _CHUNK]
        spans = tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        for row, (text, of_row) in enumerate(zip(texts, spans["offset_mapping"], strict=True), start):
            found = first_tokens(text, np.array(of_row, dtype=np.int64).reshape(-1, 2))
            first[row, : len(found)] = found
    own = {field.name: getattr(tokens, field.name) for field in fields(Tokens)}
    return WordTokens(**own, first=first)


def words_cut(tokens: object, padding_length: int) -> float:
    """Return the share of the words that have a token and lose it by truncation, 0 to 1; 0 for other tokens."""
    if not isinstance(tokens, WordTokens):
        return 0.0
    words, places = tokens.first >= 0, tokens.places(np.arange(len(tokens)), padding_length)
    if places is None:  # windows cut no word off
        return 0.0
    cut = words & (places < 0)
    return float(cut.sum() / max(1, words.sum()))


def first_tokens(text: str, spans: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the first token of each word of a text, shape (words,); -1 for a word without a token.

    Args:
        text: the words, each two with `SEPARATOR` between them.
        spans: first character of each token, and the one after its last, shape (T, 2).
    """
    lengths = np.array([len(word) for word in text.split(SEPARATOR)])
    ends = np.cumsum(lengths + len(SEPARATOR)) - len(SEPARATOR)
    if not len(spans):
        return np.full(len(lengths), -1)
    token = np.searchsorted(np.maximum.accumulate(spans[:, 1]), ends - lengths, side="right")
    begin = np.append(spans[:, 0], len(text))
    return np.where((token < len(spans)) & (begin[token] < ends), token, -1)
