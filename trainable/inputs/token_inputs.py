"""Token ids as the input of a model: the chosen rows, truncated and padded by the stage's settings."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from trainable.data.subset import subset
from trainable.inputs.batches import padded_width
from trainable.inputs.split import with_places
from trainable.settings.stage import Stage

if TYPE_CHECKING:
    from trainable.inputs.prepare import TokenizedSplit
    from trainable.inputs.tokens import Tokens


@dataclass(frozen=True)
class TokenInputs:
    """Rows of a tokenised split."""

    tokens: Tokens
    rows: NDArray[np.int64]
    """The rows of the split that are used, shape (N,)."""
    padding_length: int
    """Tokens to which rows are truncated."""
    fixed: bool
    """Whether every batch is padded to `padding_length`."""

    varies = False

    @cached_property
    def identity(self) -> str:
        """Return a digest of the content, since two splits may have the same number of rows with the same lengths."""
        return self.tokens.digest(self.rows, self.padding_length)

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Return the number of tokens of each row after truncation, those of both texts of a pair, shape (N,)."""
        return self.tokens.lengths(self.padding_length)[self.rows]

    @cached_property
    def _widths(self) -> NDArray[np.int64]:
        return self.tokens.widths(self.padding_length)[self.rows]

    @cached_property
    def places(self) -> NDArray[np.int64] | None:
        """Return the token that answers for each word; see `Inputs.places`."""
        return self.tokens.places(self.rows, self.padding_length)

    @property
    def answers(self) -> tuple[int, ...]:
        """Return the shape of a row's answers; see `Inputs.answers`."""
        return self.tokens.answers

    def used_ids(self) -> NDArray[np.int64]:
        """Return the token ids that occur in these rows, ascending."""
        return self.tokens.used_ids(self.rows, self.padding_length)

    def weights(self, rows: NDArray[np.int64], draw: int | None) -> None:
        """Return None: all rows count the same."""

    def batch(self, rows: NDArray[np.int64], multiple: int = 1, draw: int | None = None) -> dict[str, torch.Tensor]:
        """Return the input of the encoder: `input_ids`, `attention_mask`, for some tokenizers also `token_type_ids`.

        The shape is (B, T), (2 * B, T) if the texts of a pair are encoded apart, or (S, T) for S choices of all rows.
        """
        width = self.padding_length if self.fixed else padded_width(self._widths[rows], multiple, self.padding_length)
        batch = self.tokens.batch(self.rows[rows], self.padding_length, width)
        return batch if self.places is None else with_places(batch, self.places[rows])

    def for_scores(self, rows: NDArray[np.int64], outputs: torch.Tensor) -> torch.Tensor:
        """Return the outputs as they are."""
        return outputs


def scored_rows(
    tokenized: TokenizedSplit, stage: Stage, most: int | None, rows: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """Return the validation rows that an evaluation uses, ascending, drawn by their strata if not all are.

    Args:
        tokenized: a split with the validation rows.
        stage: its `validation_rows` says how many.
        most: most rows if it does not; None means all.
        rows: the validation rows of the split; None means all.
    """
    rows = np.arange(len(tokenized.labels)) if rows is None else rows
    count = stage.validation_rows or most
    return rows if count is None or count >= len(rows) else rows[subset(tokenized.strata[rows], count, 0)]
