"""A source stage trained before any trial is the same as one trained by a trial."""

import math
from pathlib import Path
from typing import Any

import pytest

from search.startup.first_source import train_first_sources
from trainable.loop import training
from trainable.preview.dry_run import Line, Pace
from trainable.progress import Report
from trainable.settings.config import TrialConfig, build_config
from trainable.trial import run_trial
from trainable.workspace import Workspace

QUICK = Pace(step=Line(0.0, 0.0), evaluation=Line(0.0, 0.0))
SLOW = Pace(step=Line(3600.0, 0.0), evaluation=Line(0.0, 0.0))


@pytest.fixture(autouse=True)
def _no_heartbeats(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make two runs give the same reports, however slow the machine is."""
    monkeypatch.setattr(training, "HEARTBEAT_SECONDS", math.inf)


@pytest.fixture
def config(blocks: dict[str, Any]) -> TrialConfig:
    return build_config(blocks["trial"], {"precision": "fp32", "source.epochs": 2, "source.batch_size": 32})


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "cache")


def _reports(config: TrialConfig, workspace: Workspace) -> list[Report]:
    reports: list[Report] = []
    run_trial(config, lambda r: reports.append(r) is None, workspace=workspace)
    return reports


def _weights(workspace: Workspace) -> bytes:
    (file,) = workspace.cache.glob("stages/*/weights.safetensors")
    return file.read_bytes()


def test_trials_find_the_stage_that_they_would_have_trained(config: TrialConfig, tmp_path: Path) -> None:
    ahead, alone = Workspace(tmp_path / "ahead"), Workspace(tmp_path / "alone")
    assert train_first_sources(config, ahead, {"source": QUICK})
    found, trained = _reports(config, ahead), _reports(config, alone)
    assert not any(r.step for r in found if r.stage == "source")
    assert [r for r in found if r.stage == "target"] == [r for r in trained if r.stage == "target"]
    assert _weights(ahead) == _weights(alone)


def test_a_long_stage_is_left_to_a_trial(config: TrialConfig, workspace: Workspace) -> None:
    assert not train_first_sources(config, workspace, {"source": SLOW})
    assert not (workspace.cache / "stages").exists()
