"""The runner of a slot's trials: an interface, and the implementation that trains in the actor's own process."""

from pathlib import Path
from typing import Protocol

import torch

from trainable.deadline import NO_DEADLINE, Deadline
from trainable.progress import Report
from trainable.settings.config import build_config
from trainable.settings.values import Nested
from trainable.trial import Trial
from trainable.workers.messages import Resources
from trainable.workspace import Workspace


class Runner(Protocol):
    """Runs one trial after another, report by report."""

    def start(self, settings: Nested, resume: Path | None, deadline: Deadline = NO_DEADLINE) -> None:
        """Begin a trial; the trial before ends, finished or not."""

    def next_report(self) -> Report:
        """Train to the next report and return it."""

    def save(self, folder: Path, ends: bool = False) -> None:
        """Write a checkpoint between two reports; the model with the best weights so far if the trial `ends`."""

    def close(self) -> None:
        """Release all resources."""


class LocalRunner:
    """Runs trials in this process."""

    def __init__(self, workspace: Workspace, workers: Resources) -> None:
        self.workspace = workspace
        torch.set_num_threads(workers.threads)

    def start(self, settings: Nested, resume: Path | None, deadline: Deadline = NO_DEADLINE) -> None:
        """Begin a trial; the trial before ends, finished or not."""
        self._trial = Trial(build_config(settings), self.workspace, resume, deadline=deadline)
        self._reports = self._trial.reports()

    def next_report(self) -> Report:
        """Train to the next report and return it."""
        return next(self._reports)

    def save(self, folder: Path, ends: bool = False) -> None:
        """Write a checkpoint between two reports; the model with the best weights so far if the trial `ends`."""
        if ends:
            self._trial.end()
        self._trial.save(folder)

    def close(self) -> None:
        """Do nothing: the process ends with the actor."""
