"""Tagging: one tag for each word, such as its part of speech, or its entity (token classification)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from trainable.metrics.bootstrap import mean_interval, rows_interval
from trainable.metrics.classification import ClassScores
from trainable.metrics.tagging import METRICS, Counts, counts_of, per_type, ratio, score
from trainable.settings.stage import Stage
from trainable.tasks.tag_reader import NO_WORD, TagReader
from trainable.tasks.task import Head, LabelSummary, TaskDefaults


class Tagging(TaskDefaults):
    """The task; see `trainable.tasks.task.Task` for its methods. Logits have the shape (N, W, C), labels (N, W)."""

    name = "tagging"

    @property
    def reader(self) -> TagReader:
        return TagReader()

    def head(self, names: tuple[str, ...]) -> Head:
        return Head(self.name, names, reads="every_token")

    def strata(self, labels: NDArray[np.int16]) -> NDArray[np.int64]:
        return np.zeros(len(labels), dtype=np.int64)

    def summary(self, labels: NDArray[np.int16], names: Sequence[str]) -> LabelSummary:
        return LabelSummary({name: int((labels == number).any(1).sum()) for number, name in enumerate(names)}, {})

    def loss(self, labels: NDArray[np.int16], head: Head, stage: Stage, device: torch.device) -> "WordLoss":
        return WordLoss()

    def scores(self, logits: torch.Tensor, labels: NDArray[np.int16], names: Sequence[str]) -> dict[str, float]:
        losses, words = _row_losses(logits, labels)
        counts, all_rows = _counts(logits, labels, names), np.ones((1, len(labels)))
        return {"loss": float(losses.sum() / words.sum())} | {
            metric: float(score(metric, counts, all_rows)[0]) for metric in METRICS
        }

    def interval(
        self, logits: torch.Tensor, labels: NDArray[np.int16], metric: str, names: Sequence[str]
    ) -> tuple[float, float]:
        if metric == "loss":
            losses, words = _row_losses(logits, labels)
            return rows_interval(len(labels), lambda rows: ratio(losses[rows].sum(-1), words[rows].sum(-1)))
        counts = _counts(logits, labels, names)
        return rows_interval(len(labels), lambda rows: score(metric, counts, _times(rows)))

    def difference_interval(
        self,
        first: torch.Tensor,
        second: torch.Tensor,
        labels: NDArray[np.int16],
        metric: str,
        names: Sequence[str],
    ) -> tuple[float, float]:
        if metric == "loss":
            (ours, words), (theirs, _) = _row_losses(first, labels), _row_losses(second, labels)
            return mean_interval((ours - theirs) * len(words) / words.sum())
        counts, others = _counts(first, labels, names), _counts(second, labels, names)

        def difference(rows: NDArray[np.int64]) -> NDArray[np.float64]:
            times = _times(rows)
            return score(metric, counts, times) - score(metric, others, times)

        return rows_interval(len(labels), difference)

    def per_class(self, logits: torch.Tensor, labels: NDArray[np.int16], names: Sequence[str]) -> list[ClassScores]:
        return per_type(_answers(logits, labels), labels.astype(np.int64), names)

    def row_losses(self, logits: torch.Tensor, labels: NDArray[np.int16], names: Sequence[str]) -> NDArray[np.float64]:
        return ratio(*_row_losses(logits, labels))


TAGGING = Tagging()


@dataclass(frozen=True)
class WordLoss:
    """Cross-entropy of the words. A row counts as many times as it has words."""

    def weights(self, labels: torch.Tensor) -> torch.Tensor:
        return (labels != NO_WORD).sum(1).float()

    def sum(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(
            logits.flatten(0, 1), labels.flatten().long(), reduction="sum", ignore_index=NO_WORD
        )


def _answers(logits: torch.Tensor, labels: NDArray[np.int16]) -> NDArray[np.int64]:
    """Return the most probable tag of each word, shape (N, W); `NO_WORD` where there is no word."""
    return np.where(labels == NO_WORD, NO_WORD, logits.argmax(-1).numpy())


def _counts(logits: torch.Tensor, labels: NDArray[np.int16], names: Sequence[str]) -> Counts:
    return counts_of(_answers(logits, labels), labels.astype(np.int64), tuple(names))


def _row_losses(logits: torch.Tensor, labels: NDArray[np.int16]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the sum of the words' losses of each row, and its words, both of the shape (N,)."""
    true = torch.from_numpy(labels).long()
    losses: Any = functional.cross_entropy(logits.transpose(1, 2), true, reduction="none", ignore_index=NO_WORD)
    return np.asarray(losses.double().sum(1).numpy()), (labels != NO_WORD).sum(1)


def _times(rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return how often each row is drawn, shape (D, N), from the rows of each draw, shape (D, N)."""
    draws, count = rows.shape
    cells = rows + count * np.arange(draws)[:, None]
    return np.bincount(cells.ravel(), minlength=draws * count).reshape(draws, count).astype(np.float64)
