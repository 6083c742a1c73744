"""Decides by a threshold: what the setting `threshold` subtracts from the outputs of a model."""

import math
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

if TYPE_CHECKING:  # the driver imports this module, and no torch
    import torch

    from trainable.settings.stage import Threshold
    from trainable.tasks.task import Task


def log_odds(probability: float) -> float:
    """Return the log-odds of a probability above 0 and below 1."""
    return math.log(probability / (1 - probability))


def probability_of(cut: float) -> float:
    """Return the probability with these log-odds, rounded, as a value of the setting `threshold`."""
    within = min(max(cut, -20.0), 20.0)  # the exponential of a cut of a thousand overflows
    return min(max(round(1 / (1 + math.exp(-within)), 6), 1e-6), 1 - 1e-6)


def fixed_cut(threshold: "Threshold") -> float:
    """Return the cut of a threshold that needs no rows, else 0."""
    return 0.0 if isinstance(threshold, str) else log_odds(threshold)


def decide(
    task: "Task", outputs: "torch.Tensor", labels: NDArray[Any], metric: str, threshold: "Threshold"
) -> tuple["torch.Tensor", float]:
    """Return the outputs of validation rows minus the cut that the setting gives, and the cut."""
    cut = task.cut(outputs, labels, metric, threshold)
    return (outputs - task.subtracted(cut) if cut else outputs), cut
