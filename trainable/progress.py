"""A stage's context (`StageContext`: its needs besides its settings), its reports, its state, and a trial's result."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from trainable.clock import Clock
from trainable.compute.device import Ranks
from trainable.deadline import NO_DEADLINE, Deadline
from trainable.tasks.task import Task


@dataclass(frozen=True)
class StageContext:
    """The things that a stage needs besides its own settings."""

    name: str
    """`source` or `target`; part of the seeds and of the names of metrics."""
    task: Task
    metric: str
    seed: int
    precision: str
    """`fp32` or `bf16`."""
    device: torch.device
    micro_batches: int = 1
    ranks: Ranks = field(default_factory=Ranks)
    clock: Clock = field(default_factory=Clock)
    deadline: Deadline = NO_DEADLINE


@dataclass(frozen=True)
class Report:
    """A report of a stage between two steps: its progress, and its scores if it was evaluated there."""

    stage: str
    step: int
    progress: float
    """Share of the stage's optimiser steps that are done, 0 to 1."""
    epoch: float
    """Passes over the training split so far."""
    metrics: dict[str, float]
    """Scores by dotted name (`target.validation.macro_f1`); without validation scores, the report is a heartbeat."""
    improved: bool = False
    """Whether this is the best evaluation so far."""
    last: bool = False
    """Whether the stage ends here, with its best weights in the model."""
    cut: bool = False
    """Whether the stage ends here before its last step, as its deadline has come."""
    times: dict[str, dict[str, float]] = field(default_factory=dict, compare=False)
    """Time and tokens of the trial so far in this process, by part of the work, see `trainable.clock`."""
    notes: tuple[str, ...] = ()
    """Reasons why time could not be saved, one sentence each."""


def with_zero_shot(metrics: dict[str, float], stage: str) -> dict[str, float]:
    """Return the validation scores of a report, each also under its name for a model that has seen no target row."""
    validation, untrained = f"{stage}.validation.", f"{stage}.zero_shot."
    scores = {name: value for name, value in metrics.items() if name.startswith(validation)}
    return scores | {name.replace(validation, untrained): value for name, value in scores.items()}


@dataclass(frozen=True)
class TrialResult:
    """The result of a trial that ran to its end or was stopped at a report."""

    value: float | None
    """Best value of the trial's metric on the target's validation split; None before the first evaluation."""
    metrics: dict[str, float]
    """Metrics of the best evaluation of each stage, by dotted name."""
    finished: bool
    """Whether the trial ran to its end."""


@dataclass
class Progress:
    """The state of a stage. Together with its tensors, this is everything that a resume needs."""

    step: int = 0
    """Optimiser steps done."""
    best: float | None = None
    """Best validation value of the metric so far."""
    best_step: int = 0
    """Step of the best evaluation."""
    best_metrics: dict[str, float] = field(default_factory=dict)
    """Scores of the best evaluation, by dotted name."""
    stale: int = 0
    """Evaluations in a row without a gain."""
    loss_sum: float = 0.0
    """Sum of the losses since the last evaluation."""
    loss_steps: int = 0
    """Number of steps in that sum."""
    micro_batches: int = 1
    """Parts of a batch; more than the settings say if memory was too small for larger parts."""

    def take_mean_loss(self) -> float:
        """Return the mean loss of the steps since the last call."""
        loss = self.loss_sum / max(1, self.loss_steps)
        self.loss_sum, self.loss_steps = 0.0, 0
        return loss

    @staticmethod
    def read(folder: Path) -> "Progress":
        """Read the `progress.json` of a folder."""
        return Progress(**json.loads((folder / "progress.json").read_text(encoding="utf-8")))

    def write(self, folder: Path) -> None:
        """Write `progress.json` into a folder."""
        (folder / "progress.json").write_text(json.dumps(asdict(self)), encoding="utf-8")
