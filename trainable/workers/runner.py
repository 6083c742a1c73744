"""Who runs one trial after another, report by report: an interface, and the one that does it in this process."""

from pathlib import Path
from typing import Protocol

import torch

from trainable.progress import Report
from trainable.settings.config import build_config
from trainable.settings.values import Nested
from trainable.trial import Trial
from trainable.workers.messages import Resources
from trainable.workspace import Workspace


class Runner(Protocol):
    """Runs one trial after another, report by report."""

    def start(self, settings: Nested, resume: Path | None) -> None:
        """Begin a trial, giving up the one before."""

    def next_report(self) -> Report:
        """Go on to the next report."""

    def save(self, folder: Path) -> None:
        """Write a checkpoint, between two reports."""

    def close(self) -> None:
        """Release everything."""


class LocalRunner:
    """Trials in this very process."""

    def __init__(self, workspace: Workspace, workers: Resources) -> None:
        self.workspace = workspace
        torch.set_num_threads(workers.threads)

    def start(self, settings: Nested, resume: Path | None) -> None:
        """Begin a trial, giving up the one before."""
        self._trial = Trial(build_config(settings), self.workspace, resume)
        self._reports = self._trial.reports()

    def next_report(self) -> Report:
        """Go on to the next report."""
        return next(self._reports)

    def save(self, folder: Path) -> None:
        """Write a checkpoint, between two reports."""
        self._trial.save(folder)

    def close(self) -> None:
        """Nothing to release: the process ends with the actor."""
