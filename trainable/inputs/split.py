"""A split of a data set as the input of a model, and its batches for a pass without gradients."""

from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray

from trainable.compute.forward import ANSWER_PLACES
from trainable.inputs.batches import evaluation_batches
from trainable.settings.stage import Stage

TOKEN_BUDGET = {"cpu": 1024, "cuda": 8192}
"""Most tokens in an evaluation batch, padding included, by kind of device. On a CPU: as many as its caches hold. On a
GPU: as many as keep it busy, and no more, since a small split in one large batch is mostly padding."""
BATCH_COST = {"cpu": 128, "cuda": 8192}
"""Fixed cost of a batch, in tokens, by kind of device. On a CPU: measured with MiniLM (benchmarks/RESULTS.md). On a
GPU: not measured, but set to the largest batch, since launching its kernels takes longer than computing it."""


class Inputs(Protocol):
    """The input of a model: the rows of one split, as token ids, as pixels, or as the output of its frozen layers."""

    @property
    def identity(self) -> str:
        """Return a digest of these rows after truncation; other rows of the same tokenizer have another digest."""

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Return the number of tokens of each row after truncation, shape (N,); of an image, those in the encoder."""

    @property
    def places(self) -> NDArray[np.int64] | None:
        """Return the token that answers for each word, counted from the row's first token; -1 if none does.

        The shape is (N, W). None if the rows have one answer each.
        """

    @property
    def answers(self) -> tuple[int, ...]:
        """Return the shape of a row's answers: () for one, (W,) for one of each of W words or choices."""

    def used_ids(self) -> NDArray[np.int64] | None:
        """Return the token ids that occur in the rows, ascending; None if they hold no ids, or any id may occur."""

    @property
    def varies(self) -> bool:
        """Return whether a batch depends on `draw`."""

    def weights(self, rows: NDArray[np.int64], draw: int | None) -> torch.Tensor | None:
        """Return what each row of a batch counts besides the weight of its label, shape (B,); None if all are equal."""

    def batch(self, rows: NDArray[np.int64], multiple: int = 1, draw: int | None = None) -> dict[str, torch.Tensor]:
        """Return the model's keyword arguments for these rows, tensors of shape (B, T, ...).

        T is a multiple of `multiple`, or the most tokens that any row may have. For rows with several answers, there is
        also `ANSWER_PLACES`, shape (B, W). Images have `REAL_TOKENS`, shape (B, T), as they have no mask.

        Args:
            rows: row numbers, shape (B,).
            multiple: see above.
            draw: seed of what the inputs draw at random for each step; None gives the same batch each time.
        """

    def for_scores(self, rows: NDArray[np.int64], outputs: torch.Tensor) -> torch.Tensor:
        """Return what the task scores, shape (B, C) or (B, W, C): usually the model's outputs for these rows, as given.

        Args:
            rows: row numbers, shape (B,).
            outputs: of the model in evaluation mode, on the CPU.
        """


class StoredRows(Protocol):
    """The rows of a split as they are kept, from which the inputs of any stage are made: token ids, or pixels."""

    def __len__(self) -> int:
        """Return N."""

    def inputs(self, rows: NDArray[np.int64], stage: Stage) -> Inputs:
        """Return rows as the input of a stage, truncated, padded or augmented as its settings say."""

    def longest(self) -> int:
        """Return the number of tokens of the longest row, not truncated."""

    def keys(self) -> list[tuple[str, str | None]]:
        """Return a pair of strings for each row; rows with equal pairs give the model equal inputs."""

    def followed_by(self, other: Self) -> Self:
        """Return these rows, then those of another split of the same data set."""


@dataclass(frozen=True)
class Split:
    """The inputs and labels of one split."""

    inputs: Inputs
    labels: NDArray[Any]
    """Shape (N, ...)."""


def with_places(batch: dict[str, torch.Tensor], places: NDArray[np.int64] | None) -> dict[str, torch.Tensor]:
    """Return a batch with the places of its words, shape (B, W), from those that are counted from each first token."""
    if places is None:
        return batch
    rows, width = batch["attention_mask"].shape
    begin = batch["attention_mask"].argmax(1, keepdim=True) + width * torch.arange(rows)[:, None]
    of_row = torch.from_numpy(places)
    return {**batch, ANSWER_PLACES: torch.where(of_row < 0, of_row, of_row + begin)}


def has_several_sequences(inputs: Inputs) -> bool:
    """Return whether each row is several sequences with an answer each, such as the choices for a question."""
    return bool(inputs.answers) and inputs.places is None


def batches_of(inputs: Inputs, device: torch.device, rows: NDArray[np.int64] | None = None) -> list[NDArray[np.int64]]:
    """Return rows, by default all, in batches for a pass without gradients."""
    rows = np.arange(len(inputs.lengths)) if rows is None else rows
    batches = evaluation_batches(inputs.lengths[rows], TOKEN_BUDGET[device.type], BATCH_COST[device.type])
    return [rows[batch] for batch in batches]
