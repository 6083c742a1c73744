"""The process that tries the preflight's batch: what it answers, what is said when it cannot, what it does then."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from search.plan.data import check_data
from search.plan.plan import Plan, build_plan
from search.preflight.costliest import costliest_trial
from search.startup.dry_run_process import DryRunProcess, _first_trial, _task
from trainable.preview.dry_run import DryRunResult
from trainable.settings.config import TrialConfig
from trainable.stages.stage_builder import StageBuilder
from trainable.stages.stage_cache import DONE, shared_epochs_key
from trainable.trial import Trial

SECONDS = 250.0

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def plan(blocks: dict[str, Any], tmp_path: Path) -> Plan:
    plan = build_plan(blocks, (Path(),), "mine.yaml")
    check_data(plan, tmp_path)
    return plan


def costliest(plan: Plan, storage: Path) -> TrialConfig:
    return costliest_trial(plan, plan.workspace(storage))[1]


@pytest.fixture
def process() -> Iterator[DryRunProcess]:
    with DryRunProcess() as process:
        yield process
    assert process._process.returncode is not None


def test_it_rehearses_both_stages_and_trains_the_source_of_the_first_trial(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Started in a folder with modules of the same names, which are not taken for ours."""
    (tmp_path / "mine" / "trainable").mkdir(parents=True)
    (tmp_path / "mine" / "trainable" / "__init__.py").write_text("raise SystemExit(3)")
    monkeypatch.chdir(tmp_path / "mine")
    with DryRunProcess() as process:
        process.begin(plan, tmp_path, costliest(plan, tmp_path), on_gpu=False)
        made = process.answer(SECONDS)
        assert process._process.wait(SECONDS) == 0
    assert isinstance(made, DryRunResult)
    assert (made.device, made.problems) == ("cpu", ())
    assert made.paces.keys() == {"source", "target"}
    trial = Trial(_first_trial(plan), plan.workspace(tmp_path))
    assert next(trial.reports()).last  # nothing is left to be trained


@pytest.mark.parametrize(("on_gpu", "workers", "ahead"), [(False, 1, True), (True, 1, False), (False, 2, False)])
def test_the_source_is_trained_ahead_where_that_is_in_nobodys_way(
    on_gpu: bool, workers: int, ahead: bool, blocks: dict[str, Any], tmp_path: Path
) -> None:
    blocks["sweep"] |= {"workers_per_trial": workers}
    plan = build_plan(blocks, (Path(),), "mine.yaml")
    check_data(plan, tmp_path)
    assert (_task(plan, tmp_path, costliest(plan, tmp_path), on_gpu)["first"] is not None) == ahead


def test_where_it_would_be_in_the_way_it_is_left_to_a_trial(process: DryRunProcess, plan: Plan, tmp_path: Path) -> None:
    process.begin(plan, tmp_path, costliest(plan, tmp_path), on_gpu=True)
    process.answer(SECONDS)
    assert process._process.wait(SECONDS) == 0
    assert not list(tmp_path.glob(f"cache/stages/*/{DONE}"))


def test_it_ends_with_its_driver_then_too(process: DryRunProcess, plan: Plan, tmp_path: Path) -> None:
    config = _first_trial(plan)
    assert config.source is not None
    builder = StageBuilder(config, plan.workspace(tmp_path))
    key = shared_epochs_key(config, builder.prepared("source", config.source), builder.setting("source"))
    lease = tmp_path / "cache" / "ladders" / key / "lock"
    lease.parent.mkdir(parents=True)
    with FileLock(lease):  # as while another process trains it
        process.begin(plan, tmp_path, costliest(plan, tmp_path), on_gpu=False)
        process.answer(SECONDS)
        with pytest.raises(subprocess.TimeoutExpired):
            process._process.wait(2)
        assert process._process.stdin is not None
        process._process.stdin.close()
        assert process._process.wait(SECONDS) == 0


def test_a_process_that_is_killed_is_told(process: DryRunProcess, plan: Plan, tmp_path: Path) -> None:
    os.kill(process._process.pid, signal.SIGKILL)
    process._process.wait(SECONDS)
    process.begin(plan, tmp_path, costliest(plan, tmp_path), on_gpu=False)
    made = process.answer(SECONDS)
    assert isinstance(made, DryRunResult)
    (problem,) = made.problems
    assert "ended by signal 9, as where memory runs out" in problem


@pytest.mark.parametrize(
    ("end", "told"),
    [("ImportError('this installation\\nis broken')", "is broken"), ("SystemExit(3)", "its process ended with 3")],
)
def test_what_it_ends_with_is_told(
    end: str, told: str, plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last line of an error, or that there was no word."""
    (tmp_path / "trainable.py").write_text(f"raise {end}")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with DryRunProcess() as process:
        process.begin(plan, tmp_path, costliest(plan, tmp_path), on_gpu=False)
        made = process.answer(SECONDS)
    assert isinstance(made, DryRunResult)
    assert made.problems == (told,)


def test_one_that_takes_too_long_is_not_waited_for(process: DryRunProcess, plan: Plan, tmp_path: Path) -> None:
    process.begin(plan, tmp_path, costliest(plan, tmp_path), on_gpu=False)
    assert process.answer(0.01) == "no answer in 0 s"


def test_it_ends_with_its_driver(process: DryRunProcess) -> None:
    assert process._process.stdin is not None
    process._process.stdin.close()
    assert process._process.wait(SECONDS) == 0
