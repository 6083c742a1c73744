"""Windows of contexts as the input of a model that answers with spans, and where the true answers are in them."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from trainable.inputs.prepare import TokenizedSplit
from trainable.inputs.split import Split
from trainable.inputs.token_inputs import TokenInputs
from trainable.inputs.windows import ContextTokens
from trainable.settings.stage import Stage


@dataclass(frozen=True)
class SpanInputs:
    """Rows in windows; see `Inputs`. A row counts as many times as it has windows."""

    whole: TokenInputs
    labels: NDArray[Any]
    """The true answers of each row, shape (N,), dicts with `text` and `answer_start`; the first one is learned."""

    varies = False
    places = None
    answers = (3,)

    @property
    def _tokens(self) -> ContextTokens:
        assert isinstance(self.whole.tokens, ContextTokens)
        return self.whole.tokens

    @property
    def identity(self) -> str:
        """Return the digest of the windows."""
        return self.whole.identity

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Return the number of tokens of all windows of each row, shape (N,)."""
        return self.whole.lengths

    def used_ids(self) -> NDArray[np.int64]:
        """Return the token ids that occur in these rows, ascending."""
        return self.whole.used_ids()

    def weights(self, rows: NDArray[np.int64], draw: int | None) -> torch.Tensor:
        """Return the number of windows of each row, shape (B,)."""
        windows = self._tokens.windows(self.whole.rows[rows], self.whole.padding_length)
        return torch.from_numpy(np.bincount(windows.row, minlength=len(rows))).float()

    @cached_property
    def _true(self) -> NDArray[np.int64]:
        """Return first and last context token of each row's first true answer, shape (N, 2); -1 if it has none."""
        true, offsets = np.full((len(self.labels), 2), -1, dtype=np.int64), self._tokens.sequences[1].offsets
        for number, (row, label) in enumerate(zip(self.whole.rows.tolist(), self.labels, strict=True)):
            if not label["text"]:
                continue
            begin = label["answer_start"][0]
            spans = self._tokens.characters[offsets[row] : offsets[row + 1]]
            first = int(np.searchsorted(spans[:, 1], begin, side="right"))
            last = int(np.searchsorted(spans[:, 0], begin + len(label["text"][0]), side="left")) - 1
            if first <= last:
                true[number] = first, last
        return true

    def batch(self, rows: NDArray[np.int64], multiple: int = 1, draw: int | None = None) -> dict[str, torch.Tensor]:
        """Return the windows, and what `trainable.model.spans` needs to know of them.

        `window_rows`: row of each window, shape (S,); `no_answer_at`: its token that stands for no answer, shape (S,);
        `characters`: those of each token of the context, -1 for other tokens, shape (S, T, 2); `true_spans`: first and
        last token of the true answer, those of no answer if the window does not hold the whole answer, shape (S, 2).
        """
        batch, tokens = self.whole.batch(rows, multiple), self._tokens
        of_split, width = self.whole.rows[rows], batch["input_ids"].shape[1]
        windows = tokens.windows(of_split, self.whole.padding_length)
        first, begin = tokens.begins(windows, width)
        column = np.arange(width) - begin[:, None]  # (S, T), the token of the window's part of the context
        inside = (column >= 0) & (column < windows.length[:, None])
        of_context = tokens.sequences[1].offsets[of_split][windows.row] + windows.start
        characters = np.full((*column.shape, 2), -1, dtype=np.int64)
        characters[inside] = tokens.characters[(of_context[:, None] + column)[inside]]
        true = self._true[rows][windows.row] - windows.start[:, None]  # (S, 2)
        holds = (true[:, 0] >= 0) & (true[:, 1] < windows.length) & (self._true[rows][windows.row, 0] >= 0)
        target = np.where(holds[:, None], true + begin[:, None], first[:, None])
        further = {"window_rows": windows.row, "no_answer_at": first, "characters": characters, "true_spans": target}
        return {**batch, **{name: torch.from_numpy(array) for name, array in further.items()}}

    def for_scores(self, rows: NDArray[np.int64], outputs: torch.Tensor) -> torch.Tensor:
        """Return the outputs as they are."""
        return outputs


def in_windows(split: Split, stride: int | None) -> Split:
    """Return a split whose contexts are read in windows with so many tokens in common.

    A split without contexts stays as it is.
    """
    if not isinstance(split.inputs, TokenInputs) or not isinstance(split.inputs.tokens, ContextTokens):
        return split
    whole = replace(split.inputs, tokens=replace(split.inputs.tokens, stride=stride))
    return Split(SpanInputs(whole, split.labels), split.labels)


def stage_inputs(tokenized: TokenizedSplit, stage: Stage, rows: NDArray[np.int64] | None = None) -> Split:
    """Return a split, or some rows of it, as the input of a stage; contexts in windows."""
    return in_windows(tokenized.for_stage(stage, rows), stage.stride)
