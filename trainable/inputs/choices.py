"""Tokens of questions with several choices: each choice is a pair with its question, and has an answer of its own."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from trainable.compute.forward import ANSWER_PLACES
from trainable.data.choices import choices_of, choices_there
from trainable.data.examples import Examples
from trainable.inputs.ragged import Ragged, offsets_of
from trainable.inputs.tokens import Tokens, check_encoding, check_not_empty, template_of, token_ids


@dataclass(frozen=True)
class ChoiceTokens(Tokens):
    """The ids of N questions and of their choices; the second sequence of a row holds all its choices.

    The encoder gets a sequence for each choice: those of the first row, then those of the next row.
    """

    ends: NDArray[np.int32]
    """Where each choice ends in the second sequence, shape (N, K); -1 for a choice that the row does not have."""

    @property
    def answers(self) -> tuple[int, ...]:
        """Return (K,): a row has an answer for each choice."""
        return self.ends.shape[1:]

    def lengths(self, padding_length: int) -> NDArray[np.int64]:
        """Return the tokens of all pairs of every row, shape (N,)."""
        return np.bincount(self._row_of_pair, self._pair_lengths(padding_length), len(self)).astype(np.int64)

    def widths(self, padding_length: int) -> NDArray[np.int64]:
        """Return the tokens of the longest pair of every row, shape (N,)."""
        widths = np.zeros(len(self), dtype=np.int64)
        np.maximum.at(widths, self._row_of_pair, self._pair_lengths(padding_length))
        return widths

    def batch(self, rows: NDArray[np.int64], padding_length: int, width: int | None = None) -> dict[str, torch.Tensor]:
        """Return the pairs of these rows as the input of the encoder: the arrays of `Tokens.batch`, of shape (S, T).

        There is also `ANSWER_PLACES`, shape (B, K): the sequence of each choice.
        """
        pairs, there = self._pairs(rows), self.ends[rows] >= 0
        place = np.full(there.shape, -1, dtype=np.int64)
        place[there] = np.arange(there.sum())
        batch = pairs.batch(np.arange(len(pairs)), padding_length, width)
        return {**batch, ANSWER_PLACES: torch.from_numpy(place)}

    def used_ids(self, rows: NDArray[np.int64], padding_length: int) -> NDArray[np.int64]:
        """Return the ids that occur in these rows, ascending, with special tokens and padding."""
        pairs = self._pairs(rows)
        return pairs.used_ids(np.arange(len(pairs)), padding_length)

    def digest(self, rows: NDArray[np.int64], padding_length: int) -> str:
        """Return the SHA-256 (hex) of the pairs of these rows, after truncation and without special tokens."""
        pairs = self._pairs(rows)
        of_pairs = pairs.digest(np.arange(len(pairs)), padding_length)
        return hashlib.sha256(of_pairs.encode() + (self.ends[rows] >= 0).tobytes()).hexdigest()

    def followed_by(self, other: Tokens) -> ChoiceTokens:
        """Return these rows, then those of another table with the same template and K."""
        assert isinstance(other, ChoiceTokens)
        joined = super().followed_by(other)
        assert isinstance(joined, ChoiceTokens)
        return replace(joined, ends=np.concatenate([self.ends, other.ends]))

    @property
    def _row_of_pair(self) -> NDArray[np.int64]:
        return np.nonzero(self.ends >= 0)[0]

    def _choice_lengths(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the tokens of each choice of these rows, one row after another, shape (S,)."""
        ends = self.ends[rows].astype(np.int64)
        before = np.pad(np.maximum.accumulate(np.maximum(ends, 0), axis=1), ((0, 0), (1, 0)))[:, :-1]
        return np.asarray((ends - before)[ends >= 0])

    def _pair_lengths(self, padding_length: int) -> NDArray[np.int64]:
        """Return the tokens of every pair after truncation, special ones included, shape (S,)."""
        questions = np.diff(self.sequences[0].offsets)[self._row_of_pair]
        both = (questions, self._choice_lengths(np.arange(len(self))))
        without_ids = tuple(Ragged(np.zeros(0, dtype=np.int32), offsets_of(lengths)) for lengths in both)
        return Tokens(without_ids, self.template).lengths(padding_length)

    def _pairs(self, rows: NDArray[np.int64]) -> Tokens:
        """Return the pairs of question and choice of these rows, without truncation."""
        of_pair = rows[np.nonzero(self.ends[rows] >= 0)[0]]
        choices = Ragged(self.sequences[1].lists(rows).ids, offsets_of(self._choice_lengths(rows)))
        return Tokens((self.sequences[0].lists(of_pair), choices), self.template)


def pairs_of(table: Examples) -> Examples:
    """Return the pairs of question and choice of all rows, one row after another."""
    assert table.text_b is not None  # the choices
    pairs = [(a, choice) for a, b in zip(table.text, table.text_b, strict=True) for choice in choices_of(b) if choice]
    return Examples([a for a, _ in pairs], [b for _, b in pairs], np.zeros(len(pairs), dtype=np.int64))


def tokenize_choices(tokenizer: PreTrainedTokenizerBase, table: Examples) -> ChoiceTokens:
    """Tokenise a table of questions and choices once, for all padding lengths.

    Args:
        tokenizer: of the encoder.
        table: questions, and choices as `trainable.data.choices.joined_choices` returns them; labels of shape (N, K).

    Raises:
        ConfigError: as `tokenize`.
    """
    assert table.text_b is not None  # the choices
    there, pairs = choices_there(table.text_b, table.labels.shape[1]), pairs_of(table)
    choices = token_ids(tokenizer, pairs.text_b or [])
    lengths = np.zeros(there.shape, dtype=np.int64)
    lengths[there] = np.diff(choices.offsets)
    ends = np.where(there, lengths.cumsum(1), -1).astype(np.int32)
    of_rows = Ragged(choices.ids, offsets_of(lengths.sum(1)))
    tokens = Tokens((token_ids(tokenizer, table.text), of_rows), template_of(tokenizer, 2))
    made = ChoiceTokens(**{field.name: getattr(tokens, field.name) for field in fields(Tokens)}, ends=ends)
    every = made._pairs(np.arange(len(made)))
    check_not_empty(every)
    check_encoding(tokenizer, pairs, every)
    return made
