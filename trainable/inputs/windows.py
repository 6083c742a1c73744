"""Tokens of questions with contexts: a long context is read in windows that overlap, each after the whole question."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from trainable.data.examples import Examples
from trainable.errors import ConfigError
from trainable.inputs.ragged import numbers_within
from trainable.inputs.tokens import Tokens, tokenize

_CHUNK = 4096  # texts tokenised at a time


@dataclass(frozen=True)
class Windows:
    """The windows of B rows, one row after another; all arrays have the shape (S,)."""

    row: NDArray[np.int64]
    """From 0 to B - 1."""
    question: NDArray[np.int64]
    """Tokens of the question."""
    start: NDArray[np.int64]
    """First token of the context."""
    length: NDArray[np.int64]
    """Tokens of the context."""


@dataclass(frozen=True)
class ContextTokens(Tokens):
    """The ids of N questions and their contexts; the encoder gets a sequence for each window."""

    characters: NDArray[np.int32]
    """First character of each token of the contexts, and the one after its last, shape (all tokens of contexts, 2)."""
    stride: int | None = None
    """Tokens that a window has in common with the one before it; None for a third of the padding length."""

    @property
    def answers(self) -> tuple[int, ...]:
        """Return (3,): see `trainable.metrics.question_answering`."""
        return (3,)

    def lengths(self, padding_length: int) -> NDArray[np.int64]:
        """Return the tokens of all windows of every row, shape (N,)."""
        windows = self.windows(np.arange(len(self)), padding_length)
        return np.bincount(windows.row, self._totals(windows), len(self)).astype(np.int64)

    def widths(self, padding_length: int) -> NDArray[np.int64]:
        """Return the tokens of the longest window of every row, shape (N,)."""
        windows, widths = self.windows(np.arange(len(self)), padding_length), np.zeros(len(self), dtype=np.int64)
        np.maximum.at(widths, windows.row, self._totals(windows))
        return widths

    def batch(self, rows: NDArray[np.int64], padding_length: int, width: int | None = None) -> dict[str, torch.Tensor]:
        """Return the windows of these rows as the input of the encoder: the arrays of `Tokens.batch`, shape (S, T)."""
        pairs = self._pairs(rows, padding_length)
        return pairs.batch(np.arange(len(pairs)), padding_length, width)

    def used_ids(self, rows: NDArray[np.int64], padding_length: int) -> NDArray[np.int64]:
        """Return the ids that occur in these rows, ascending, with special tokens and padding."""
        pairs = self._pairs(rows, padding_length)
        return pairs.used_ids(np.arange(len(pairs)), padding_length)

    def digest(self, rows: NDArray[np.int64], padding_length: int) -> str:
        """Return the SHA-256 (hex) of the windows of these rows, without special tokens."""
        pairs, windows = self._pairs(rows, padding_length), self.windows(rows, padding_length)
        of_pairs = pairs.digest(np.arange(len(pairs)), padding_length)
        return hashlib.sha256(of_pairs.encode() + windows.row.tobytes()).hexdigest()

    def followed_by(self, other: Tokens) -> ContextTokens:
        """Return these rows, then those of another table with the same template."""
        assert isinstance(other, ContextTokens)
        joined = super().followed_by(other)
        assert isinstance(joined, ContextTokens)
        return replace(joined, characters=np.concatenate([self.characters, other.characters]))

    def windows(self, rows: NDArray[np.int64], padding_length: int) -> Windows:
        """Return the windows of rows: as many as cover the context, at least one.

        A question has at most half of a window; what is longer is cut.

        Raises:
            ConfigError: if a window has no room for two tokens.
        """
        most = padding_length - self.template.specials
        if most < 2:
            raise ConfigError(f"padding_length: {padding_length} has no room for a question and its context; raise it")
        question, context = (np.diff(ragged.offsets)[rows] for ragged in self.sequences)
        question = np.minimum(question, most // 2)
        room = most - question
        step = room - np.minimum(padding_length // 3 if self.stride is None else self.stride, room - 1)
        counts = 1 + np.maximum(0, -((room - context) // step))
        row = np.repeat(np.arange(len(rows)), counts)
        start = numbers_within(counts) * step[row]
        return Windows(row, question[row], start, np.minimum(room[row], context[row] - start))

    def begins(self, windows: Windows, width: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the place of the first token of each window, and of its first context token, in a batch, (S,) each."""
        first = width - self._totals(windows) if self.template.pads_left else np.zeros_like(windows.start)
        before = np.zeros_like(windows.start)
        for piece in self.template.pieces:
            if piece.token is None and piece.sequence == 1:
                break
            before = before + (1 if piece.token is not None else windows.question)
        return first, first + before

    def _totals(self, windows: Windows) -> NDArray[np.int64]:
        return windows.question + windows.length + self.template.specials

    def _pairs(self, rows: NDArray[np.int64], padding_length: int) -> Tokens:
        windows = self.windows(rows, padding_length)
        of_row, (questions, contexts) = rows[windows.row], self.sequences
        first = questions.parts(questions.offsets[of_row], windows.question)
        second = contexts.parts(contexts.offsets[of_row] + windows.start, windows.length)
        return Tokens((first, second), self.template)


def tokenize_contexts(tokenizer: PreTrainedTokenizerBase, table: Examples) -> ContextTokens:
    """Tokenise questions and contexts once, for all padding lengths and strides.

    Raises:
        ConfigError: as `tokenize`.
    """
    assert table.text_b is not None  # the contexts
    tokens, spans = tokenize(tokenizer, table), [np.zeros((0, 2), dtype=np.int32)]
    for start in range(0, len(table), _CHUNK):
        texts = table.text_b[start : start + _CHUNK]
        found = tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True, verbose=False)["offset_mapping"]
        spans += [np.array(of_row, dtype=np.int32).reshape(-1, 2) for of_row in found]
    own = {field.name: getattr(tokens, field.name) for field in fields(Tokens)}
    return ContextTokens(**own, characters=np.concatenate(spans))
