"""Sequence to sequence: a text for each text, such as a translation or a summary.

A model with an encoder and a decoder learns the target tokens (teacher forcing). At an evaluation it also generates a
text for each row; the inputs turn texts into numbers (`trainable/inputs/targets.py`), which are the "logits" here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from trainable.metrics.bootstrap import rows_interval
from trainable.metrics.sequence_to_sequence import SCORES, STATISTICS, totals
from trainable.settings.stage import Stage
from trainable.tasks.target_reader import TargetReader
from trainable.tasks.task import Head, LabelSummary, TaskDefaults


class SequenceToSequence(TaskDefaults):
    """The task; see `trainable.tasks.task.Task`. "Logits" are `STATISTICS`, shape (N, 35); labels are texts."""

    name = "sequence_to_sequence"
    most_scored_rows = 256  # a text costs as much as dozens of forward passes

    @property
    def reader(self) -> TargetReader:
        return TargetReader()

    def head(self, names: tuple[str, ...]) -> Head:
        return Head(self.name, STATISTICS, reads="decoder")

    def strata(self, labels: NDArray[Any]) -> NDArray[np.int64]:
        return np.zeros(len(labels), dtype=np.int64)

    def summary(self, labels: NDArray[Any], names: Sequence[str]) -> LabelSummary:
        lengths = [len(text) for row in labels for text in row]
        return LabelSummary({}, {"characters, median": float(np.median(lengths)), "longest": float(max(lengths))})

    def loss(self, labels: NDArray[Any], head: Head, stage: Stage, device: torch.device) -> TokenLoss:
        return TokenLoss(stage.label_smoothing)

    def scores(self, logits: torch.Tensor, labels: NDArray[Any], names: Sequence[str] = ()) -> dict[str, float]:
        sums = logits.double().numpy().sum(0)
        return {name: float(score(sums)) for name, score in SCORES.items()}

    def interval(
        self, logits: torch.Tensor, labels: NDArray[Any], metric: str, names: Sequence[str] = ()
    ) -> tuple[float, float]:
        score, of_rows = SCORES[metric], logits.double().numpy()
        return rows_interval(len(of_rows), lambda rows: score(totals(of_rows, rows)))

    def difference_interval(
        self,
        first: torch.Tensor,
        second: torch.Tensor,
        labels: NDArray[Any],
        metric: str,
        names: Sequence[str] = (),
    ) -> tuple[float, float]:
        score, ours, theirs = SCORES[metric], first.double().numpy(), second.double().numpy()
        return rows_interval(len(ours), lambda rows: score(totals(ours, rows)) - score(totals(theirs, rows)))

    def row_losses(self, logits: torch.Tensor, labels: NDArray[Any], names: Sequence[str]) -> NDArray[np.float64]:
        return 100 - SCORES["chrf"](logits.double().numpy())


@dataclass(frozen=True)
class TokenLoss:
    """The cross-entropy of the target tokens, which the model has summed by row; the inputs give a row's weight."""

    smoothing: float

    def weights(self, labels: torch.Tensor) -> torch.Tensor:
        return torch.ones(len(labels))

    def sum(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return (1 - self.smoothing) * logits[:, 0].sum() + self.smoothing * logits[:, 1].sum()


SEQUENCE_TO_SEQUENCE = SequenceToSequence()
