"""Masked language modelling: predict hidden tokens of texts without labels, to prepare an encoder for their domain.

As a source stage this is domain- or task-adaptive pretraining (Gururangan et al. 2020). The inputs hide the tokens
(`trainable/inputs/masked_inputs.py`), and the model gives three numbers for each row (`ANSWERS`) instead of logits.
With `next_sentence` the rows are pairs of sentences, and a fourth number says whether the second one follows the first
(BERT, Devlin et al. 2019). The loss is the sum of both means; in it each pair counts as its number of hidden tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from trainable.data.check_results import CheckResults
from trainable.data.label_reader import Labels, ReaderDefaults
from trainable.data.reading.raw_table import RawTable
from trainable.metrics.bootstrap import rows_interval
from trainable.metrics.masked_language import SCORES, next_accuracy
from trainable.settings.dataset import Dataset
from trainable.settings.stage import Stage
from trainable.tasks.task import Head, LabelSummary, TaskDefaults

ANSWERS = ("loss", "hidden", "hits")
"""What the model gives for each row: the sum of the losses of its hidden tokens, their number, and how many of them it
predicts (0 while it trains)."""
NEXT = "next"
"""The further number of a pair of sentences: the log-odds that the second one is the next."""


class MaskedLanguage(TaskDefaults):
    """The task; see `trainable.tasks.task.Task` for its methods. "Logits" are `ANSWERS`, shape (N, 3).

    Of pairs of sentences they also have `NEXT`, shape (N, 4), and the label is 1 if the second sentence is the next.
    """

    name = "masked_language"

    @property
    def reader(self) -> TextReader:
        return TextReader()

    def head(self, names: tuple[str, ...]) -> Head:
        if NEXT in names:
            return Head(self.name, (*ANSWERS, NEXT), reads="masked_pairs")
        return Head(self.name, ANSWERS, reads="masked_tokens")

    def strata(self, labels: NDArray[np.int64]) -> NDArray[np.int64]:
        return labels

    def summary(self, labels: NDArray[np.int64], names: Sequence[str]) -> LabelSummary:
        return LabelSummary({}, {})

    def loss(self, labels: NDArray[np.int64], head: Head, stage: Stage, device: torch.device) -> HiddenTokenLoss:
        return PairLoss() if NEXT in head.names else HiddenTokenLoss()

    def scores(self, logits: torch.Tensor, labels: NDArray[np.int64], names: Sequence[str] = ()) -> dict[str, float]:
        sums = _numbers(logits, labels).sum(0)
        scores = {name: float(score(sums)) for name, score in SCORES.items()}
        return scores | ({"next_accuracy": float(next_accuracy(sums))} if logits.shape[1] > len(ANSWERS) else {})

    def interval(
        self, logits: torch.Tensor, labels: NDArray[np.int64], metric: str, names: Sequence[str] = ()
    ) -> tuple[float, float]:
        score, of_rows = SCORES[metric], _numbers(logits, labels)
        return rows_interval(len(of_rows), lambda rows: score(of_rows[rows].sum(-2)))

    def difference_interval(
        self,
        first: torch.Tensor,
        second: torch.Tensor,
        labels: NDArray[np.int64],
        metric: str,
        names: Sequence[str] = (),
    ) -> tuple[float, float]:
        score, ours, theirs = SCORES[metric], _numbers(first, labels), _numbers(second, labels)
        return rows_interval(len(ours), lambda rows: score(ours[rows].sum(-2)) - score(theirs[rows].sum(-2)))


class HiddenTokenLoss:
    """The cross-entropy of the hidden tokens, which the model has summed by row; the inputs give a row's weight."""

    def weights(self, labels: torch.Tensor) -> torch.Tensor:
        return torch.ones(len(labels))

    def sum(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return logits[:, 0].sum()


class PairLoss(HiddenTokenLoss):
    """The same, and the cross-entropy of the next sentence, times the number of hidden tokens that weighs a row."""

    def sum(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return super().sum(logits, labels) + _next_losses(logits, labels).sum()


def _next_losses(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the loss of each pair's next sentence times the pair's weight in a batch, shape (B,)."""
    losses = functional.binary_cross_entropy_with_logits(logits[:, 3], labels.to(logits.dtype), reduction="none")
    return logits[:, 1].clamp(min=1) * losses


def _numbers(logits: torch.Tensor, labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return what the scores add up over rows: `ANSWERS`, and of pairs losses, hits and rows, shape (N, 6)."""
    wide = logits.double()
    if logits.shape[1] == len(ANSWERS):
        return functional.pad(wide, (0, 3)).numpy()
    is_next = torch.from_numpy(labels)
    hits = ((wide[:, 3] > 0) == (is_next > 0)).double()
    further = torch.stack([_next_losses(wide, is_next), hits, torch.ones_like(hits)], dim=1)
    return torch.cat([wide[:, :3], further], dim=1).numpy()


class TextReader(ReaderDefaults):
    """Reads texts without labels; see `trainable.data.label_reader.LabelReader` for its methods."""

    reads_words = True

    def columns(self, dataset: Dataset) -> tuple[str, ...]:
        return ()

    def read(self, dataset: Dataset, raws: Mapping[str, RawTable], results: CheckResults) -> Labels:
        if dataset.labels is not None:
            results.problems.append("labels: names classes, and unlabelled texts have none; leave it out")
        zeros: dict[str, NDArray[Any]] = {split: np.zeros(raw.rows, dtype=np.int64) for split, raw in raws.items()}
        return Labels((), zeros, zeros)


MASKED_LANGUAGE = MaskedLanguage()
