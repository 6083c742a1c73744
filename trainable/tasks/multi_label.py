"""Multi-label classification: any number of labels for each text or pair of texts, also none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from torch.nn import functional

from trainable.data.check_results import CheckResults
from trainable.data.examples import LocatedExamples
from trainable.data.label_reader import Labels, ReaderDefaults
from trainable.data.reading.raw_table import RawTable
from trainable.metrics.bootstrap import mean_interval, rows_interval
from trainable.metrics.classification import ClassScores
from trainable.metrics.multi_label import SCORES, best_cut, per_label
from trainable.settings.dataset import Dataset
from trainable.settings.stage import AUTO_THRESHOLD, TUNED, Stage, Threshold
from trainable.tasks.linear_head import HeadFit, LinearHead, fit_regression
from trainable.tasks.multi_label_reader import check_labels, rarest_label, read_labels
from trainable.tasks.task import Head, LabelSummary, TaskDefaults
from trainable.tasks.threshold import fixed_cut


class MultiLabel(TaskDefaults):
    """The task; see `trainable.tasks.task.Task` for its methods. Labels have the shape (N, C), 0 or 1."""

    name = "multi_label"

    @property
    def reader(self) -> LabelSetReader:
        return LabelSetReader()

    def head(self, names: tuple[str, ...]) -> Head:
        return Head(self.name, names, "multi_label_classification")

    def threshold_problem(self, threshold: Threshold, metric: str, names: Sequence[str]) -> str:
        known = not isinstance(threshold, str) or threshold in (AUTO_THRESHOLD, TUNED)
        return "" if known else "with multi_label it is auto, tuned (by the micro F1) or a number"

    def cut(self, logits: torch.Tensor, labels: NDArray[np.float32], metric: str, threshold: Threshold) -> float:
        if not isinstance(threshold, str) or metric == "loss":
            return fixed_cut(threshold)
        return best_cut(logits.numpy(), labels)

    def strata(self, labels: NDArray[np.float32]) -> NDArray[np.int64]:
        return rarest_label(labels, labels.sum(0))

    def summary(self, labels: NDArray[np.float32], names: Sequence[str]) -> LabelSummary:
        return LabelSummary(dict(zip(names, labels.sum(0).astype(int).tolist(), strict=True)), {})

    def linear_head(
        self, features: NDArray[np.float64], labels: NDArray[np.float32], outputs: int, fit: HeadFit
    ) -> LinearHead | None:
        weights, biases = np.zeros((outputs, features.shape[1])), np.zeros(outputs)
        for column in range(outputs):
            given = labels[:, column].astype(np.int64)
            if 0 < given.sum() < len(given):
                model = LogisticRegression(C=fit.strength, max_iter=1000, tol=fit.tolerance, fit_intercept=fit.bias)
                fit_regression(model, features, given, ("0", "1"))
                weights[column] = model.coef_[0]
                biases[column] = model.intercept_[0] if fit.bias else 0.0
            else:  # a label that no row has, or that every row has
                biases[column] = np.log((given.sum() + 0.5) / (len(given) - given.sum() + 0.5))
        return weights, biases

    def loss(self, labels: NDArray[np.float32], head: Head, stage: Stage, device: torch.device) -> BinaryCrossEntropy:
        return BinaryCrossEntropy()

    def scores(self, logits: torch.Tensor, labels: NDArray[np.float32], names: Sequence[str] = ()) -> dict[str, float]:
        once = np.ones((1, len(labels)))
        found = {name: float(score(logits.numpy(), labels, once)[0]) for name, score in SCORES.items()}
        return {"loss": float(_row_losses(logits, labels).mean()), **found}

    def interval(
        self, logits: torch.Tensor, labels: NDArray[np.float32], metric: str, names: Sequence[str] = ()
    ) -> tuple[float, float]:
        if metric == "loss":
            return mean_interval(_row_losses(logits, labels))
        return rows_interval(len(labels), _resampled(logits, labels, metric))

    def difference_interval(
        self,
        first: torch.Tensor,
        second: torch.Tensor,
        labels: NDArray[np.float32],
        metric: str,
        names: Sequence[str] = (),
    ) -> tuple[float, float]:
        if metric == "loss":
            return mean_interval(_row_losses(first, labels) - _row_losses(second, labels))
        ours, theirs = (_resampled(logits, labels, metric) for logits in (first, second))
        return rows_interval(len(labels), lambda draws: ours(draws) - theirs(draws))

    def per_class(self, logits: torch.Tensor, labels: NDArray[np.float32], names: Sequence[str]) -> list[ClassScores]:
        return per_label(logits.numpy(), labels, tuple(names))

    def row_losses(
        self, logits: torch.Tensor, labels: NDArray[np.float32], names: Sequence[str]
    ) -> NDArray[np.float64]:
        return _row_losses(logits, labels)


@dataclass(frozen=True)
class BinaryCrossEntropy:
    """The mean over the labels of each row's binary cross-entropies."""

    def weights(self, labels: torch.Tensor) -> torch.Tensor:
        return torch.ones(len(labels))

    def sum(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        losses = functional.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype), reduction="none")
        return losses.mean(-1).sum()


class LabelSetReader(ReaderDefaults):
    """Reads sets of labels; see `trainable.data.label_reader.LabelReader` for its methods."""

    def columns(self, dataset: Dataset) -> tuple[str, ...]:
        return tuple(dataset.label_columns or (dataset.label,))

    def read(self, dataset: Dataset, raws: Mapping[str, RawTable], results: CheckResults) -> Labels:
        return read_labels(dataset, raws, results)

    def check_splits(
        self, dataset: Dataset, splits: Mapping[str, LocatedExamples], names: Sequence[str], results: CheckResults
    ) -> None:
        check_labels(splits, names, results)


def _resampled(
    logits: torch.Tensor, labels: NDArray[np.float32], metric: str
) -> Callable[[NDArray[np.int64]], NDArray[np.float64]]:
    """Return the function that gives a metric of resampled rows, see `rows_interval`."""
    outputs, score, rows = logits.numpy(), SCORES[metric], len(labels)

    def of(draws: NDArray[np.int64]) -> NDArray[np.float64]:
        times = np.stack([np.bincount(draw, minlength=rows) for draw in draws]).astype(np.float64)
        return np.asarray(score(outputs, labels, times))

    return of


def _row_losses(logits: torch.Tensor, labels: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the mean binary cross-entropy of each row, shape (N,)."""
    true = torch.from_numpy(labels).to(logits.dtype)
    losses: Any = functional.binary_cross_entropy_with_logits(logits, true, reduction="none").mean(-1)
    return np.asarray(losses.double().numpy())


MULTI_LABEL = MultiLabel()
