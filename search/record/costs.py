"""What a trial's model costs its users, from the metrics of the trial."""

from dataclasses import dataclass

from search.record.records import TrialRecord

TRAINED_WEIGHTS, MODEL_WEIGHTS, TEXT_GFLOPS = "target.trained_weights", "target.model_weights", "target.text_gflops"
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
            return f"needs {_percent(1 - self.work / other.work)} less work for a text"
        return f"has {_percent(1 - self.weights / other.weights)} fewer weights"


def use_cost(record: TrialRecord) -> UseCost | None:
    """Return what a trial's model costs; None if the trial is of a version that did not measure it."""
    work, weights = record.metrics.get(TEXT_GFLOPS), record.metrics.get(MODEL_WEIGHTS)
    return None if work is None or weights is None else UseCost(work, weights)


def _percent(share: float) -> str:
    return f"{share:.0%}".replace("%", " %")
