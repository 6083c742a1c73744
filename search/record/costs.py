"""What a trial's model costs its users, from the metrics of the trial."""

from collections.abc import Mapping
from dataclasses import dataclass

from search.record.records import TrialRecord
from search.wording import whole_percent

TRAINED_WEIGHTS, MODEL_WEIGHTS, TEXT_GFLOPS = "target.trained_weights", "target.model_weights", "target.text_gflops"
LATENCY = "latency_ms"
COSTS = {
    LATENCY: "target.latency_ms",
    "text_gflops": TEXT_GFLOPS,
    "model_weights": MODEL_WEIGHTS,
    "trained_weights": TRAINED_WEIGHTS,
}
"""The costs that experiments can name, and the metric of a trial that has each of them."""
CLEARLY = 0.9
"""A cost is clearly lower if it is at most this share of another; a smaller saving is not worth a lower score."""


@dataclass(frozen=True)
class UseCost:
    """What it costs to use a model. Settings that only cost training time, such as frozen layers, change nothing."""

    work: float
    """Mean 10^9 FLOPs for a text; more layers, wider layers and a longer `padding_length` raise it."""
    weights: float
    """Number of weights."""

    def is_cheaper_than(self, other: "UseCost") -> bool:
        """Return whether it has clearly less work for a text, or no more work and clearly fewer weights."""
        has_less = self.work < other.work and self.work <= CLEARLY * other.work
        return has_less or (self.work <= other.work and self.weights <= CLEARLY * other.weights)

    def saving(self, other: "UseCost") -> str:
        """Return in words how much cheaper it is than another one."""
        if self.work < other.work and self.work <= CLEARLY * other.work:
            return f"needs {whole_percent(1 - self.work / other.work)} less work for a text"
        return f"has {whole_percent(1 - self.weights / other.weights)} fewer weights"


def limits_text(limits: Mapping[str, float]) -> str:
    """Return limits in words, such as `latency_ms <= 20 and text_gflops <= 0.5`."""
    return " and ".join(f"{name} <= {limit:.12g}" for name, limit in limits.items())


def excesses(metrics: Mapping[str, float], limits: Mapping[str, float]) -> dict[str, float]:
    """Return by how much a trial is above each limit; 0 or less where it meets one. A cost that is unknown is left out.

    Args:
        metrics: of the trial.
        limits: largest allowed value by the name of the cost.
    """
    return {name: metrics[COSTS[name]] - limit for name, limit in limits.items() if COSTS[name] in metrics}


def meets(metrics: Mapping[str, float], limits: Mapping[str, float]) -> bool:
    """Return whether a trial is known to be within all limits."""
    found = excesses(metrics, limits)
    return len(found) == len(limits) and all(excess <= 0 for excess in found.values())


def use_cost(record: TrialRecord) -> UseCost | None:
    """Return what a trial's model costs; None if the trial is of a version that did not measure it."""
    work, weights = record.metrics.get(TEXT_GFLOPS), record.metrics.get(MODEL_WEIGHTS)
    return None if work is None or weights is None else UseCost(work, weights)
