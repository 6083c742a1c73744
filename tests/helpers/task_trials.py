"""Trials of the tests of tasks: their scores, uninterrupted or not."""

from itertools import islice
from pathlib import Path
from typing import Any

from trainable.settings.config import TrialConfig
from trainable.trial import Trial, run_trial
from trainable.workspace import Workspace


def scores(config: TrialConfig, workspace: Workspace, **kwargs: Any) -> dict[str, float]:
    """Run a trial to its end."""
    return run_trial(config, lambda _: True, workspace=workspace, **kwargs).metrics


def scores_after_resume(
    config: TrialConfig, workspace: Workspace, half: Path, reports: int = 1, **kwargs: Any
) -> dict[str, float]:
    """Save a trial after so many reports in a new folder, and run it from there to its end."""
    trial = Trial(config, workspace)
    assert len(list(islice(trial.reports(), reports))) == reports
    half.mkdir()
    trial.save(half)
    return scores(config, workspace, resume=half, **kwargs)
