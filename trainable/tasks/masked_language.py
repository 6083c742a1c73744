"""Masked language modelling: predict hidden tokens of texts without labels, to prepare an encoder for their domain.

As a source stage this is domain- or task-adaptive pretraining (Gururangan et al. 2020). The inputs hide the tokens
(`trainable/inputs/masked_inputs.py`), and the model gives three numbers for each row (`ANSWERS`) instead of logits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from trainable.data.check_results import CheckResults
from trainable.data.label_reader import Labels, ReaderDefaults
from trainable.data.reading.raw_table import RawTable
from trainable.metrics.bootstrap import rows_interval
from trainable.metrics.masked_language import SCORES
from trainable.settings.dataset import Dataset
from trainable.settings.stage import Stage
from trainable.tasks.task import Head, LabelSummary, TaskDefaults

ANSWERS = ("loss", "hidden", "hits")
"""What the model gives for each row: the sum of the losses of its hidden tokens, their number, and how many of them it
predicts (0 while it trains)."""


class MaskedLanguage(TaskDefaults):
    """The task; see `trainable.tasks.task.Task` for its methods. "Logits" are `ANSWERS`, shape (N, 3)."""

    name = "masked_language"

    @property
    def reader(self) -> TextReader:
        return TextReader()

    def head(self, names: tuple[str, ...]) -> Head:
        return Head(self.name, ANSWERS, reads="masked_tokens")

    def strata(self, labels: NDArray[np.int64]) -> NDArray[np.int64]:
        return labels

    def summary(self, labels: NDArray[np.int64], names: Sequence[str]) -> LabelSummary:
        return LabelSummary({}, {})

    def loss(self, labels: NDArray[np.int64], head: Head, stage: Stage, device: torch.device) -> HiddenTokenLoss:
        return HiddenTokenLoss()

    def scores(self, logits: torch.Tensor, labels: NDArray[np.int64], names: Sequence[str] = ()) -> dict[str, float]:
        sums = logits.double().numpy().sum(0)
        return {name: float(score(sums)) for name, score in SCORES.items()}

    def interval(
        self, logits: torch.Tensor, labels: NDArray[np.int64], metric: str, names: Sequence[str] = ()
    ) -> tuple[float, float]:
        score, of_rows = SCORES[metric], logits.double().numpy()
        return rows_interval(len(of_rows), lambda rows: score(of_rows[rows].sum(-2)))

    def difference_interval(
        self,
        first: torch.Tensor,
        second: torch.Tensor,
        labels: NDArray[np.int64],
        metric: str,
        names: Sequence[str] = (),
    ) -> tuple[float, float]:
        score, ours, theirs = SCORES[metric], first.double().numpy(), second.double().numpy()
        return rows_interval(len(ours), lambda rows: score(ours[rows].sum(-2)) - score(theirs[rows].sum(-2)))


class HiddenTokenLoss:
    """The cross-entropy of the hidden tokens, which the model has summed by row; the inputs give a row's weight."""

    def weights(self, labels: torch.Tensor) -> torch.Tensor:
        return torch.ones(len(labels))

    def sum(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return logits[:, 0].sum()


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
