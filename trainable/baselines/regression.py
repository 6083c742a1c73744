"""Linear models of any task as scikit-learn's; their regularisation is chosen on held-out rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LinearRegression, LogisticRegression

from trainable.baselines.results import mean_metrics
from trainable.inputs.folds import Fold
from trainable.metrics.metric import ONE_CLASS_A_ROW, is_better
from trainable.settings.stage import AUTO_THRESHOLD, Threshold
from trainable.tasks.linear_head import HeadFit, LinearHead, as_head, fit_regression
from trainable.tasks.task import Task
from trainable.tasks.threshold import decide

MOST_ITERATIONS, TOLERANCE = 200, 1e-4
LEAST_PROBABILITY = 1e-9
"""Probability of a class that a model has never seen."""


@dataclass(frozen=True)
class FoldPlan:
    """How the rows of a target are used: the training rows come first, then the validation rows."""

    folds: Sequence[Fold]
    """What is scored; the first one is the data set's own split."""
    final: NDArray[np.int64]
    """The rows on which the model that is kept trains."""

    @property
    def is_plain(self) -> bool:
        """Return whether the model that is kept is the one that the only fold scores."""
        return len(self.folds) == 1 and np.array_equal(self.folds[0].train, self.final)


@dataclass(frozen=True)
class Regression:
    """The data of a linear model."""

    task: Task
    features: Any
    """Of all N rows, dense or sparse, shape (N, F)."""
    labels: NDArray[Any]
    """What the task's reader gives for the N rows, shape (N, ...)."""
    names: tuple[str, ...]
    """All outputs."""
    plan: FoldPlan
    threshold: Threshold = AUTO_THRESHOLD
    """The setting of the target; a cut that it chooses is among the scores of a fold, as `cut`."""

    def best(self, strengths: Sequence[float], metric: str) -> tuple[Any, list[dict[str, float]]]:
        """Return the model with the best mean score over the folds, trained on the final rows, and these scores.

        Of two equal ones, the more regularised is taken. The model decides at 0.5, without the cuts of the scores.

        Args:
            strengths: values of C to try, ascending. The rest is left out once a value is worse than the best so far.
            metric: the metric that chooses.

        Raises:
            ValueError: if all training rows have the same class.
        """
        best, strength, scores = None, strengths[0], list[dict[str, float]]()
        for tried in strengths:
            found = [self.score(tried, fold, metric) for fold in self.plan.folds]
            value = mean_metrics(found)[metric]
            if not scores or is_better(value, best, metric):
                best, strength, scores = value, tried, found
            elif value != best:
                break
        return self.fit(strength, self.plan.final), scores

    def score(self, strength: float, fold: Fold, metric: str) -> dict[str, float]:
        """Return the scores of a fold."""
        outputs = outputs_of(self.fit(strength, fold.train), self.features[fold.held_out], self.names)
        return decided_scores(self.task, outputs, self.labels[fold.held_out], self.names, metric, self.threshold)

    def fit(self, strength: float, rows: NDArray[np.int64]) -> Any:
        """Return the model that is trained on some rows."""
        return fit_model(self.task, self.features[rows], self.labels[rows], self.names, strength)


def decided_scores(
    task: Task, outputs: torch.Tensor, labels: NDArray[Any], names: tuple[str, ...], metric: str, threshold: Threshold
) -> dict[str, float]:
    """Return every metric of outputs minus the cut that the threshold gives, and the cut, if it is not 0."""
    outputs, cut = decide(task, outputs, labels, metric, threshold)
    return task.scores(outputs, labels, names) | ({"cut": cut} if cut else {})


def fit_model(task: Task, features: Any, labels: NDArray[Any], names: tuple[str, ...], strength: float) -> Any:
    """Return a logistic regression, or a `LinearRegression` that gives the outputs of another task.

    Raises:
        ValueError: if all rows have the same class.
    """
    if task.name in ONE_CLASS_A_ROW:
        return fit_regression(LogisticRegression(C=strength, max_iter=MOST_ITERATIONS), features, labels, names)
    head = task.linear_head(features, labels, len(names), HeadFit(strength, tolerance=TOLERANCE))
    if head is None:
        raise ValueError("these labels allow no linear model")
    scale, model = task.output_scale(labels), LinearRegression()
    model.coef_, model.intercept_ = head[0] * scale.spread, head[1] * scale.spread + scale.mean
    if len(names) == 1:  # so that it predicts the shape (N,), as after a fit
        model.coef_, model.intercept_ = model.coef_[0], model.intercept_[0]
    model.n_features_in_ = features.shape[1]
    return model


def head_of(model: Any, mean: NDArray[np.float64], spread: NDArray[np.float64], names: tuple[str, ...]) -> LinearHead:
    """Return a model on standardised features as weights, shape (C, H), and biases, shape (C,), for raw ones."""
    if hasattr(model, "classes_"):
        return as_head(model, mean, spread, names)
    weights = np.atleast_2d(model.coef_) / spread
    return weights, np.atleast_1d(model.intercept_) - weights @ mean


def put_cut_in(model: Any, cut: float, names: tuple[str, ...]) -> None:
    """Let a linear model give 0.5 where it gave the log-odds `cut`; those of the second name if it has two classes."""
    if cut and hasattr(model, "classes_"):
        model.intercept_ -= cut if str(model.classes_[1]) == names[1] else -cut
    elif cut:
        model.intercept_ -= cut


def outputs_of(model: Any, rows: Any, names: tuple[str, ...]) -> torch.Tensor:
    """Return what a model of scikit-learn gives for rows, shape (N, C), in the order of the names.

    They are logarithms of probabilities from a classifier, else the numbers that the model predicts.
    """
    if hasattr(model, "predict_proba"):
        return log_probabilities(model.predict_proba(rows), model.classes_, names)
    return torch.from_numpy(np.asarray(model.predict(rows), dtype=np.float32).reshape(-1, len(names)))


def log_probabilities(
    probabilities: NDArray[np.float64], classes: NDArray[np.str_], names: tuple[str, ...]
) -> torch.Tensor:
    """Return logits, shape (N, C), from probabilities of the classes that a model knows."""
    logits = np.full((len(probabilities), len(names)), np.log(LEAST_PROBABILITY))
    columns = [names.index(str(name)) for name in classes]
    logits[:, columns] = np.log(np.maximum(probabilities, LEAST_PROBABILITY))
    return torch.from_numpy(logits).float()
