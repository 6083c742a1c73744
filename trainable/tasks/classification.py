"""Classification: one class for each text or pair of texts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from trainable.data.check_results import CheckResults
from trainable.data.checks.classes import check_classes, check_enough_texts
from trainable.data.examples import LocatedExamples
from trainable.data.label_reader import Labels
from trainable.data.labels import read_classes
from trainable.data.reading.raw_table import RawTable
from trainable.metrics.bootstrap import mean_interval, rows_interval
from trainable.metrics.classification import (
    ClassScores,
    bootstrap_interval,
    confusion,
    paired_interval,
    per_class,
    scores,
)
from trainable.metrics.probabilities import SCORES as OF_CHANCES
from trainable.metrics.threshold import best_cut
from trainable.settings.dataset import Dataset
from trainable.settings.stage import AUTO_THRESHOLD, TUNED, Stage, Threshold
from trainable.tasks.linear_head import HeadFit, LinearHead, as_head, fit_regression
from trainable.tasks.task import Head, LabelSummary, TaskDefaults
from trainable.tasks.threshold import fixed_cut

BY_COUNTS = tuple(scores(np.ones((2, 2))))
"""The metrics that depend on the classes that are predicted, and so on a threshold."""
MOST_ITERATIONS = 1000


class Classification(TaskDefaults):
    """The task; see `trainable.tasks.task.Task` for its methods."""

    name = "classification"

    @property
    def reader(self) -> "ClassReader":
        return ClassReader()

    def head(self, names: tuple[str, ...]) -> Head:
        return Head(self.name, names, "single_label_classification")

    def threshold_problem(self, threshold: Threshold, metric: str, names: Sequence[str]) -> str:
        if threshold == AUTO_THRESHOLD:
            return ""
        if len(names) != 2:
            return f"a threshold needs two labels, and there are {len(names)}; leave it out"
        best = metric if threshold == TUNED else threshold
        if isinstance(best, str) and best not in BY_COUNTS:
            return f"{best} depends on no threshold; name one of {', '.join(BY_COUNTS)}, such as `threshold: macro_f1`"
        return ""

    def cut(self, logits: torch.Tensor, labels: NDArray[np.int64], metric: str, threshold: Threshold) -> float:
        if threshold == AUTO_THRESHOLD or not isinstance(threshold, str):
            return fixed_cut(threshold)
        margins = (logits[:, 1] - logits[:, 0]).double().numpy()
        return best_cut(margins, labels, metric if threshold == TUNED else threshold)

    def subtracted(self, cut: float) -> torch.Tensor:
        return torch.tensor([-cut / 2, cut / 2]) if cut else torch.tensor(0.0)

    def strata(self, labels: NDArray[np.int64]) -> NDArray[np.int64]:
        return labels

    def summary(self, labels: NDArray[np.int64], names: Sequence[str]) -> LabelSummary:
        counts = np.bincount(labels, minlength=len(names)).tolist()
        return LabelSummary(dict(zip(names, counts, strict=True)), {})

    def linear_head(
        self, features: NDArray[np.float64], labels: NDArray[np.int64], outputs: int, fit: HeadFit
    ) -> LinearHead | None:
        from sklearn.linear_model import LogisticRegression  # see `linear_head.py`

        if len(np.unique(labels)) < 2:
            return None
        names, balanced = tuple(map(str, range(outputs))), "balanced" if fit.balanced else None
        model = LogisticRegression(
            C=fit.strength, max_iter=MOST_ITERATIONS, tol=fit.tolerance, class_weight=balanced, fit_intercept=fit.bias
        )
        fit_regression(model, features, labels, names)
        width = features.shape[1]
        return as_head(model, np.zeros(width), np.ones(width), names)

    def loss(self, labels: NDArray[np.int64], head: Head, stage: Stage, device: torch.device) -> "CrossEntropy":
        weights = class_weights(labels, len(head.names), stage)
        return CrossEntropy(weights, stage.label_smoothing, stage.focal_gamma, device)

    def scores(self, logits: torch.Tensor, labels: NDArray[np.int64], names: Sequence[str] = ()) -> dict[str, float]:
        loss = float(functional.cross_entropy(logits, torch.from_numpy(labels)))
        counted = {name: float(value) for name, value in scores(_counts(logits, labels)).items()}
        chances = _probabilities(logits)
        return {"loss": loss, **counted, **{name: score(chances, labels) for name, score in OF_CHANCES.items()}}

    def interval(
        self, logits: torch.Tensor, labels: NDArray[np.int64], metric: str, names: Sequence[str] = ()
    ) -> tuple[float, float]:
        if metric == "loss":  # it cannot be computed from the confusion counts
            return mean_interval(_row_losses(logits, labels))
        if metric in OF_CHANCES:
            chances, score = _probabilities(logits), OF_CHANCES[metric]
            return rows_interval(len(labels), lambda draws: np.array([score(chances[d], labels[d]) for d in draws]))
        return bootstrap_interval(_counts(logits, labels), metric)

    def difference_interval(
        self,
        first: torch.Tensor,
        second: torch.Tensor,
        labels: NDArray[np.int64],
        metric: str,
        names: Sequence[str] = (),
    ) -> tuple[float, float]:
        if metric == "loss":
            return mean_interval(_row_losses(first, labels) - _row_losses(second, labels))
        if metric in OF_CHANCES:
            ours, theirs, score = _probabilities(first), _probabilities(second), OF_CHANCES[metric]
            return rows_interval(
                len(labels),
                lambda draws: np.array([score(ours[d], labels[d]) - score(theirs[d], labels[d]) for d in draws]),
            )
        predicted = first.argmax(-1).numpy(), second.argmax(-1).numpy()
        return paired_interval(*predicted, labels, first.shape[-1], metric)

    def per_class(self, logits: torch.Tensor, labels: NDArray[np.int64], names: Sequence[str]) -> list[ClassScores]:
        return per_class(_counts(logits, labels), tuple(names))

    def row_losses(self, logits: torch.Tensor, labels: NDArray[np.int64], names: Sequence[str]) -> NDArray[np.float64]:
        return _row_losses(logits, labels)

    def chances(self, logits: torch.Tensor) -> NDArray[np.float64]:
        return _probabilities(logits)


CLASSIFICATION = Classification()


class ClassReader:
    """Reads the column of the classes; see `trainable.data.label_reader.LabelReader` for its methods."""

    reads_words = False

    def columns(self, dataset: Dataset) -> tuple[str, ...]:
        return (dataset.label,)

    def read(self, dataset: Dataset, raws: Mapping[str, RawTable], results: CheckResults) -> Labels:
        return read_classes(dataset, raws, results)

    def check_whole(self, whole: LocatedExamples, names: Sequence[str], parts: int) -> Iterator[str]:
        return check_enough_texts(whole, names, parts)

    def check_splits(
        self, dataset: Dataset, splits: Mapping[str, LocatedExamples], names: Sequence[str], results: CheckResults
    ) -> None:
        check_classes(dataset, splits, names, results)


@dataclass
class CrossEntropy:
    """Cross-entropy with class weights and label smoothing; as the focal loss, rows that are right count less."""

    class_weights: torch.Tensor
    """Shape (C,), on the CPU."""
    label_smoothing: float
    focal_gamma: float
    device: torch.device

    def __post_init__(self) -> None:
        self._on_device = self.class_weights.to(self.device)

    def weights(self, labels: torch.Tensor) -> torch.Tensor:
        return self.class_weights[labels]

    def sum(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        def loss(reduction: str) -> torch.Tensor:
            return functional.cross_entropy(
                logits, labels, self._on_device, reduction=reduction, label_smoothing=self.label_smoothing
            )

        if not self.focal_gamma:
            return loss("sum")
        right = logits.softmax(-1).gather(1, labels[:, None])[:, 0]
        return ((1 - right) ** self.focal_gamma * loss("none")).sum()


def class_weights(labels: NDArray[np.int64], classes: int, stage: Stage) -> torch.Tensor:
    """Return the weights of the classes in the training loss, shape (C,); see `Stage.class_weights`."""
    if stage.class_weights == "none":
        return torch.ones(classes)
    counts = np.bincount(labels, minlength=classes)
    # A class without rows has weight 0. Otherwise label smoothing would push towards it with the weight of all rows.
    return torch.from_numpy(np.where(counts > 0, len(labels) / (classes * np.maximum(counts, 1)), 0.0)).float()


def _counts(logits: torch.Tensor, labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the confusion counts, shape (C, C)."""
    return confusion(labels, logits.argmax(-1).numpy(), logits.shape[-1])


def _probabilities(logits: torch.Tensor) -> NDArray[np.float64]:
    """Return the probability of each class, shape (N, C)."""
    return np.asarray(logits.double().softmax(-1).numpy())


def _row_losses(logits: torch.Tensor, labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the cross-entropy of each row, shape (N,)."""
    losses: Any = functional.cross_entropy(logits, torch.from_numpy(labels), reduction="none")
    return np.asarray(losses.double().numpy())
