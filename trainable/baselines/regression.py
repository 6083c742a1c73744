"""Logistic regression whose regularisation is chosen on the validation split."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from trainable.loop.evaluate import score
from trainable.tasks.metrics import is_better

MOST_ITERATIONS = 200
LEAST_PROBABILITY = 1e-9
"""Probability of a class that a model has never seen."""


@dataclass(frozen=True)
class Regression:
    """The data of a regression."""

    features: Any
    """Of the N training rows, dense or sparse, shape (N, F)."""
    labels: NDArray[np.str_]
    """Name of each training row's class, shape (N,)."""
    held_out: Any
    """Of the M validation rows, shape (M, F)."""
    held_out_labels: NDArray[np.int64]
    """Index into `names` of each validation row's class, shape (M,)."""
    names: tuple[str, ...]
    """All classes."""

    def best(self, strengths: Sequence[float], metric: str) -> LogisticRegression:
        """Return the regression with the best validation score; of two equal ones, the more regularised.

        Args:
            strengths: values of C to try, ascending. The rest is left out once a value is worse than the best so far.
            metric: the metric that chooses.

        Raises:
            ValueError: if all training rows have the same class.
        """
        best, model = None, None
        for strength in strengths:
            tried = LogisticRegression(C=strength, max_iter=MOST_ITERATIONS)
            # One thread: beside the threads of trials, several would wait for each other most of the time.
            with threadpool_limits(1, "blas"), warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)  # a few steps short of the optimum is fine here
                tried.fit(self.features, self.labels)
            logits = log_probabilities(tried.predict_proba(self.held_out), tried.classes_, self.names)
            value = score(logits, self.held_out_labels)[0][metric]
            if model is None or is_better(value, best, metric):
                best, model = value, tried
            elif value != best:
                break
        assert model is not None
        return model


def log_probabilities(
    probabilities: NDArray[np.float64], classes: NDArray[np.str_], names: tuple[str, ...]
) -> torch.Tensor:
    """Return logits, shape (N, C), from probabilities of the classes that a model knows."""
    logits = np.full((len(probabilities), len(names)), np.log(LEAST_PROBABILITY))
    columns = [names.index(str(name)) for name in classes]
    logits[:, columns] = np.log(np.maximum(probabilities, LEAST_PROBABILITY))
    return torch.from_numpy(logits).float()
