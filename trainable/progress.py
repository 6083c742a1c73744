"""What a stage is told, what it says between two steps, and where it stands."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from trainable.clock import Clock
from trainable.compute.device import Ranks


@dataclass(frozen=True)
class Setting:
    """What a stage needs to know beside its own settings."""

    name: str
    """`source` or `target`; part of the seeds and of the metrics' names."""
    metric: str
    seed: int
    precision: str
    """`fp32` or `bf16`."""
    device: torch.device
    micro_batches: int = 1
    ranks: Ranks = field(default_factory=Ranks)
    clock: Clock = field(default_factory=Clock)


@dataclass(frozen=True)
class Report:
    """What a stage says between two steps: always how far it is, and its scores where it has evaluated."""

    stage: str
    step: int
    progress: float
    """Share of the stage's optimiser steps that are done, 0 to 1."""
    epoch: float
    metrics: dict[str, float]
    """By dotted name (`target.validation.macro_f1`); without validation scores it is but a sign of life."""
    improved: bool = False
    """Whether this is the best evaluation so far."""
    last: bool = False
    """Whether the stage ends here, with its best weights in the model."""
    times: dict[str, dict[str, float]] = field(default_factory=dict, compare=False)
    """What the trial has spent so far in this process, see `trainable.clock`."""
    notes: tuple[str, ...] = ()
    """Why time was spent that could have been saved, one sentence each."""


@dataclass
class Progress:
    """Where a stage stands; with the tensors beside it, all that a resume needs."""

    step: int = 0
    best: float | None = None
    best_step: int = 0
    best_metrics: dict[str, float] = field(default_factory=dict)
    stale: int = 0
    """Evaluations in a row without a gain."""
    loss_sum: float = 0.0
    """Over the steps since the last evaluation."""
    loss_steps: int = 0
    micro_batches: int = 1
    """Parts of a batch; more than was set where memory had no room for larger ones."""

    @staticmethod
    def read(folder: Path) -> "Progress":
        """From a folder that `write` wrote into."""
        return Progress(**json.loads((folder / "progress.json").read_text(encoding="utf-8")))

    def write(self, folder: Path) -> None:
        """As `progress.json`."""
        (folder / "progress.json").write_text(json.dumps(asdict(self)), encoding="utf-8")
