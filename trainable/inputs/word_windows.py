"""Windows over texts of words that are longer than `padding_length`, so that every word has an answer.

A word's answer is that of the window in which it has the most tokens on both sides, as question answering does with
long texts (Devlin et al. 2019).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from trainable.compute.forward import ANSWER_PLACES
from trainable.inputs.ragged import numbers_within
from trainable.inputs.split import StoredRows
from trainable.inputs.tokens import Tokens
from trainable.inputs.words import WordTokens

_NO_LIMIT = 2**40  # tokens, more than any row has
_OVERLAP = 4  # two windows share a quarter of their tokens

Stored = TypeVar("Stored", bound=StoredRows)


@dataclass(frozen=True)
class WindowTokens(WordTokens):
    """The ids of N texts of words; a row that is too long is several sequences of the batch, one for each window."""

    def lengths(self, padding_length: int) -> NDArray[np.int64]:
        """Return the tokens of all windows of every row, special ones included, shape (N,)."""
        of_row, _, length = self._windows(np.arange(len(self)), padding_length)
        return np.bincount(of_row, length + self.template.specials, len(self)).astype(np.int64)

    def widths(self, padding_length: int) -> NDArray[np.int64]:
        """Return the tokens of every row's longest window, special ones included, shape (N,)."""
        return super().lengths(padding_length)

    def places(self, rows: NDArray[np.int64], padding_length: int) -> NDArray[np.int64] | None:
        """Return what `WordTokens.places` does if each of these rows is one window, else None."""
        fits = self._whole(rows).max(initial=0) <= padding_length - self.template.specials
        return super().places(rows, padding_length) if fits else None

    def batch(self, rows: NDArray[np.int64], padding_length: int, width: int | None = None) -> dict[str, torch.Tensor]:
        """Return the windows of these rows as the input of the encoder, shape (S, T).

        There is also `ANSWER_PLACES`, shape (B, W): the token of each word, counted over all tokens of the batch.
        """
        of_row, start, length = self._windows(rows, padding_length)
        (texts,) = self.sequences
        windows = Tokens((texts.parts(texts.offsets[rows][of_row] + start, length),), self.template)
        batch = windows.batch(np.arange(len(windows)), padding_length, width)
        before = next(i for i, piece in enumerate(self.template.pieces) if piece.token is None)
        text_begins = batch["attention_mask"].numpy().argmax(1) + before  # (S,)
        place = np.full((len(rows), self.first.shape[1]), -1, dtype=np.int64)
        best = np.full_like(place, -1)
        ends = start + length == self._whole(rows)[of_row]
        for number, row in enumerate(of_row.tolist()):
            inside = self.first[rows[row]].astype(np.int64) - start[number]
            left = np.where(start[number] == 0, _NO_LIMIT, inside)
            right = np.where(ends[number], _NO_LIMIT, length[number] - 1 - inside)
            margin = np.where((inside >= 0) & (inside < length[number]), np.minimum(left, right), -1)
            margin = np.where(self.first[rows[row]] >= 0, margin, -1)
            better = margin > best[row]
            at = number * batch["input_ids"].shape[1] + text_begins[number] + inside
            place[row], best[row] = np.where(better, at, place[row]), np.where(better, margin, best[row])
        return {**batch, ANSWER_PLACES: torch.from_numpy(place)}

    def used_ids(self, rows: NDArray[np.int64], padding_length: int) -> NDArray[np.int64]:
        """Return the ids that occur in these rows, ascending, with special tokens and padding."""
        return super().used_ids(rows, _NO_LIMIT)

    def digest(self, rows: NDArray[np.int64], padding_length: int) -> str:
        """Return the SHA-256 (hex) of the whole rows, with the length of a window."""
        return f"{super().digest(rows, _NO_LIMIT)}-{padding_length}"

    def _whole(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        offsets = self.sequences[0].offsets
        return np.asarray(offsets[rows + 1] - offsets[rows])

    def _windows(
        self, rows: NDArray[np.int64], padding_length: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Return for each of S windows its row among these, its first token and its tokens, each of the shape (S,)."""
        self._cut(rows, padding_length)  # raises an error if nothing is left beside the special tokens
        room, whole = padding_length - self.template.specials, self._whole(rows)
        step = max(1, room - room // _OVERLAP)
        count = np.where(whole > room, 1 + -(-(whole - room) // step), 1)
        of_row = np.repeat(np.arange(len(rows)), count)
        start = np.minimum(numbers_within(count) * step, np.maximum(whole - room, 0)[of_row])
        return of_row, start, np.minimum(whole, room)[of_row]


def with_windows(tokens: Stored, long_texts: str) -> Stored | WindowTokens:
    """Return texts of words with windows if the setting says so, and other tokens as they are."""
    if long_texts != "windows" or not isinstance(tokens, WordTokens):
        return tokens
    return WindowTokens(**{field.name: getattr(tokens, field.name) for field in fields(WordTokens)})
