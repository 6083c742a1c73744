"""Logistic regression whose regularisation is chosen on held-out rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from trainable.baselines.results import mean_metrics
from trainable.inputs.folds import Fold
from trainable.metrics.metric import is_better
from trainable.settings.stage import AUTO_THRESHOLD, Threshold
from trainable.tasks.classification import CLASSIFICATION
from trainable.tasks.linear_head import fit_regression
from trainable.tasks.threshold import decide

MOST_ITERATIONS = 200
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
    """The data of a regression."""

    features: Any
    """Of all N rows, dense or sparse, shape (N, F)."""
    labels: NDArray[np.int64]
    """Index into `names` of each row's class, shape (N,)."""
    names: tuple[str, ...]
    """All classes."""
    plan: FoldPlan
    threshold: Threshold = AUTO_THRESHOLD
    """The setting of the target; a cut that it chooses is among the scores of a fold, as `cut`."""

    def best(self, strengths: Sequence[float], metric: str) -> tuple[LogisticRegression, list[dict[str, float]]]:
        """Return the regression with the best mean score over the folds, trained on the final rows, and these scores.

        Of two equal ones, the more regularised is taken.

        Args:
            strengths: values of C to try, ascending. The rest is left out once a value is worse than the best so far.
            metric: the metric that chooses.

        Raises:
            ValueError: if all training rows have the same class.
        """
        best, strength, scores = None, strengths[0], list[dict[str, float]]()
        for tried in strengths:
            found = [self._score(tried, fold, metric) for fold in self.plan.folds]
            value = mean_metrics(found)[metric]
            if not scores or is_better(value, best, metric):
                best, strength, scores = value, tried, found
            elif value != best:
                break
        return self._fit(strength, self.plan.final), scores

    def _score(self, strength: float, fold: Fold, metric: str) -> dict[str, float]:
        model, labels = self._fit(strength, fold.train), self.labels[fold.held_out]
        logits = log_probabilities(model.predict_proba(self.features[fold.held_out]), model.classes_, self.names)
        logits, cut = decide(CLASSIFICATION, logits, labels, metric, self.threshold)
        scores = CLASSIFICATION.scores(logits, labels)
        return scores if self.threshold == AUTO_THRESHOLD else {**scores, "cut": cut}

    def _fit(self, strength: float, rows: NDArray[np.int64]) -> LogisticRegression:
        model = LogisticRegression(C=strength, max_iter=MOST_ITERATIONS)
        return fit_regression(model, self.features[rows], self.labels[rows], self.names)


def put_cut_in(model: LogisticRegression, cut: float, names: tuple[str, ...]) -> None:
    """Let a regression of two classes give 0.5 where it gave the log-odds `cut` of the second name."""
    if cut:
        model.intercept_ -= cut if str(model.classes_[1]) == names[1] else -cut


def log_probabilities(
    probabilities: NDArray[np.float64], classes: NDArray[np.str_], names: tuple[str, ...]
) -> torch.Tensor:
    """Return logits, shape (N, C), from probabilities of the classes that a model knows."""
    logits = np.full((len(probabilities), len(names)), np.log(LEAST_PROBABILITY))
    columns = [names.index(str(name)) for name in classes]
    logits[:, columns] = np.log(np.maximum(probabilities, LEAST_PROBABILITY))
    return torch.from_numpy(logits).float()
