"""Multiple choice: which of several choices answers a question; rows may have different numbers of choices.

The model gives one score for each pair of question and choice, and a softmax over the choices of a row gives their
probabilities, as in the multiple-choice models of transformers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from trainable.metrics.bootstrap import mean_interval
from trainable.settings.stage import Stage
from trainable.tasks.choice_reader import ChoiceReader
from trainable.tasks.task import Head, LabelSummary, TaskDefaults


class MultipleChoice(TaskDefaults):
    """The task; see `trainable.tasks.task.Task` for its methods. Logits have the shape (N, K, 1), labels (N, K)."""

    name = "multiple_choice"

    @property
    def reader(self) -> ChoiceReader:
        return ChoiceReader()

    def head(self, names: tuple[str, ...]) -> Head:
        return Head(self.name, names, reads="choices")

    def strata(self, labels: NDArray[np.int16]) -> NDArray[np.int64]:
        return np.asarray(labels.argmax(1), dtype=np.int64)

    def summary(self, labels: NDArray[np.int16], names: Sequence[str]) -> LabelSummary:
        counts = np.bincount(self.strata(labels), minlength=labels.shape[1]).tolist()
        return LabelSummary({_letter(place): count for place, count in enumerate(counts)}, {})

    def loss(self, labels: NDArray[np.int16], head: Head, stage: Stage, device: torch.device) -> ChoiceLoss:
        return ChoiceLoss()

    def scores(self, logits: torch.Tensor, labels: NDArray[np.int16], names: Sequence[str] = ()) -> dict[str, float]:
        return {metric: float(_of_rows(logits, labels, metric).mean()) for metric in ("loss", "accuracy")}

    def interval(
        self, logits: torch.Tensor, labels: NDArray[np.int16], metric: str, names: Sequence[str] = ()
    ) -> tuple[float, float]:
        return mean_interval(_of_rows(logits, labels, metric))

    def difference_interval(
        self,
        first: torch.Tensor,
        second: torch.Tensor,
        labels: NDArray[np.int16],
        metric: str,
        names: Sequence[str] = (),
    ) -> tuple[float, float]:
        return mean_interval(_of_rows(first, labels, metric) - _of_rows(second, labels, metric))

    def row_losses(self, logits: torch.Tensor, labels: NDArray[np.int16], names: Sequence[str]) -> NDArray[np.float64]:
        return _of_rows(logits, labels, "loss")


@dataclass(frozen=True)
class ChoiceLoss:
    """Cross-entropy over the choices of each row."""

    def weights(self, labels: torch.Tensor) -> torch.Tensor:
        return torch.ones(len(labels))

    def sum(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(_scores(logits, labels), labels.argmax(1), reduction="sum")


def _scores(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the score of each choice, shape (N, K); minus infinity where a row has no choice."""
    return logits[..., 0].masked_fill(labels < 0, -torch.inf)


def _of_rows(logits: torch.Tensor, labels: NDArray[np.int16], metric: str) -> NDArray[np.float64]:
    """Return what the mean of a metric is taken of: the loss of each row, or whether it is right, shape (N,)."""
    of_labels = torch.from_numpy(labels)
    scores, right = _scores(logits, of_labels), of_labels.argmax(1)
    if metric == "accuracy":
        return np.asarray((scores.argmax(1) == right).double().numpy())
    losses: Any = functional.cross_entropy(scores, right, reduction="none")
    return np.asarray(losses.double().numpy())


def _letter(place: int) -> str:
    return ascii_uppercase[place] if place < len(ascii_uppercase) else str(place)


MULTIPLE_CHOICE = MultipleChoice()
