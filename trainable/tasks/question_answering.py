"""Extractive question answering: which part of a context answers a question, if any does (SQuAD).

The model gives for each row the best span and its score (`trainable/model/spans.py`) instead of logits. No answer is
given if the score of no answer exceeds that of the span by a threshold, which the validation rows choose.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from trainable.metrics.bootstrap import mean_interval, rows_interval
from trainable.metrics.question_answering import LOSS, METRICS, SCORES, SPAN, best_threshold, row_scores
from trainable.settings.stage import AUTO_THRESHOLD, TUNED, Stage, Threshold
from trainable.tasks.span_reader import SpanReader
from trainable.tasks.task import Head, LabelSummary, TaskDefaults
from trainable.tasks.threshold import fixed_cut


class QuestionAnswering(TaskDefaults):
    """The task; see `trainable.tasks.task.Task` for its methods.

    "Logits" have the shape (N, 3, 2). Labels, shape (N,), are dicts with `text`, `answer_start` and `context`.
    """

    name = "question_answering"

    @property
    def reader(self) -> SpanReader:
        return SpanReader()

    def head(self, names: tuple[str, ...]) -> Head:
        return Head(self.name, names, reads="spans")

    def strata(self, labels: NDArray[Any]) -> NDArray[np.int64]:
        return np.array([bool(label["text"]) for label in labels], dtype=np.int64)

    def summary(self, labels: NDArray[Any], names: Sequence[str]) -> LabelSummary:
        answered = int(self.strata(labels).sum())
        return LabelSummary({"answer": answered, "no answer": len(labels) - answered}, {})

    def threshold_problem(self, threshold: Threshold, metric: str, names: Sequence[str]) -> str:
        known = not isinstance(threshold, str) or threshold in (AUTO_THRESHOLD, TUNED)
        return "" if known else "with question_answering it is auto or tuned (by the metric), or a number"

    def cut(self, logits: torch.Tensor, labels: NDArray[Any], metric: str, threshold: Threshold) -> float:
        if not isinstance(threshold, str):
            return fixed_cut(threshold)
        chosen = metric if metric in METRICS else METRICS[0]
        surplus = (logits[:, SCORES, 1] - logits[:, SCORES, 0]).double().numpy()
        texts = _spans(logits, labels)
        none = row_scores([""] * len(labels), _true(labels), chosen)
        return best_threshold(surplus, row_scores(texts, _true(labels), chosen), none)

    def subtracted(self, cut: float) -> torch.Tensor:
        of_outputs = torch.zeros(3, 2)
        of_outputs[SCORES, 1] = cut
        return of_outputs

    def loss(self, labels: NDArray[Any], head: Head, stage: Stage, device: torch.device) -> SpanLoss:
        return SpanLoss()

    def scores(self, logits: torch.Tensor, labels: NDArray[Any], names: Sequence[str] = ()) -> dict[str, float]:
        losses, windows = logits[:, LOSS].double().sum(0).tolist()
        of_rows = {metric: _of_rows(logits, labels, metric).mean() for metric in METRICS}
        return {"loss": losses / windows} | {metric: float(value) for metric, value in of_rows.items()}

    def interval(
        self, logits: torch.Tensor, labels: NDArray[Any], metric: str, names: Sequence[str] = ()
    ) -> tuple[float, float]:
        if metric == "loss":
            sums = logits[:, LOSS].double().numpy()
            return rows_interval(len(sums), lambda rows: sums[rows, 0].sum(-1) / sums[rows, 1].sum(-1))
        return mean_interval(_of_rows(logits, labels, metric))

    def difference_interval(
        self, first: torch.Tensor, second: torch.Tensor, labels: NDArray[Any], metric: str, names: Sequence[str] = ()
    ) -> tuple[float, float]:
        if metric == "loss":
            ours, theirs = (each[:, LOSS].double().numpy() for each in (first, second))
            lost = ours[:, 0] / ours[:, 1].mean() - theirs[:, 0] / theirs[:, 1].mean()
            return mean_interval(lost)
        return mean_interval(_of_rows(first, labels, metric) - _of_rows(second, labels, metric))

    def row_losses(self, logits: torch.Tensor, labels: NDArray[Any], names: Sequence[str]) -> NDArray[np.float64]:
        return 1 - _of_rows(logits, labels, METRICS[0])


class SpanLoss:
    """The cross-entropy of the windows, which the model has summed by row; the inputs give a row's weight."""

    def weights(self, labels: Any) -> torch.Tensor:
        return torch.ones(len(labels))

    def sum(self, logits: torch.Tensor, labels: Any) -> torch.Tensor:
        return logits[:, LOSS, 0].sum()


def given_answers(logits: torch.Tensor, contexts: Sequence[str]) -> list[str]:
    """Return the answer of each row; empty where no answer has the higher score.

    Args:
        logits: shape (N, 3, 2).
        contexts: of the rows.
    """
    given = (logits[:, SCORES, 0] >= logits[:, SCORES, 1]).tolist()
    spans = zip(contexts, logits[:, SPAN].long().tolist(), given, strict=True)
    return [context[begin:end] if answers else "" for context, (begin, end), answers in spans]


def _spans(logits: torch.Tensor, labels: NDArray[Any]) -> list[str]:
    """Return the best span of each row, whether or not it is given."""
    spans = zip(labels, logits[:, SPAN].long().tolist(), strict=True)
    return [label["context"][begin:end] for label, (begin, end) in spans]


def _of_rows(logits: torch.Tensor, labels: NDArray[Any], metric: str) -> NDArray[np.float64]:
    return row_scores(given_answers(logits, [label["context"] for label in labels]), _true(labels), metric)


def _true(labels: NDArray[Any]) -> list[list[str]]:
    """Return the true answers of each row."""
    return [label["text"] for label in labels]


QUESTION_ANSWERING = QuestionAnswering()
