"""The process of the preflight's dry run: its answer, its errors, and the source stage that it trains afterwards."""

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
from trainable.stages.stage_cache import STAGE_FILE, shared_epochs_key
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


@pytest.mark.slow
def test_it_tries_both_stages_and_trains_the_source_of_the_first_trial(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It starts in a folder with modules of the same names, which must not be imported."""
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


@pytest.mark.parametrize(("on_gpu", "workers", "trained"), [(False, 1, True), (True, 1, False), (False, 2, False)])
def test_it_gets_a_source_stage_only_on_cpus_and_for_one_worker(
    on_gpu: bool, workers: int, trained: bool, blocks: dict[str, Any], tmp_path: Path
) -> None:
    blocks["sweep"] |= {"workers_per_trial": workers}
    plan = build_plan(blocks, (Path(),), "mine.yaml")
    check_data(plan, tmp_path)
    assert (_task(plan, tmp_path, costliest(plan, tmp_path), on_gpu)["first"] is not None) == trained


@pytest.mark.slow
def test_on_a_gpu_it_leaves_the_source_stage_to_a_trial(process: DryRunProcess, plan: Plan, tmp_path: Path) -> None:
    process.begin(plan, tmp_path, costliest(plan, tmp_path), on_gpu=True)
    process.answer(SECONDS)
    assert process._process.wait(SECONDS) == 0
    assert not list(tmp_path.glob(f"cache/stages/*/{STAGE_FILE}"))


@pytest.mark.slow
def test_it_ends_with_its_driver_while_it_waits_for_a_source_stage(
    process: DryRunProcess, plan: Plan, tmp_path: Path
) -> None:
    config = _first_trial(plan)
    assert config.source is not None
    builder = StageBuilder(config, plan.workspace(tmp_path))
    tokenized, context = builder.tokenized("source", config.source), builder.context("source")
    key = shared_epochs_key(config, config.source, tokenized, context)
    lease = tmp_path / "cache" / "ladders" / key / "lock"
    lease.parent.mkdir(parents=True)
    with FileLock(lease):  # as if another process trained it
        process.begin(plan, tmp_path, costliest(plan, tmp_path), on_gpu=False)
        process.answer(SECONDS)
        with pytest.raises(subprocess.TimeoutExpired):
            process._process.wait(2)
        assert process._process.stdin is not None
        process._process.stdin.close()
        assert process._process.wait(SECONDS) == 0


def test_a_killed_process_is_reported(process: DryRunProcess, plan: Plan, tmp_path: Path) -> None:
    os.kill(process._process.pid, signal.SIGKILL)
    process._process.wait(SECONDS)
    process.begin(plan, tmp_path, costliest(plan, tmp_path), on_gpu=False)
    made = process.answer(SECONDS)
    assert isinstance(made, DryRunResult)
    (problem,) = made.problems
    assert "signal 9 ended the process of the dry run; memory may have run out" in problem


@pytest.mark.parametrize(
    ("end", "reported"),
    [("ImportError('this installation\\nis broken')", "is broken"), ("SystemExit(3)", "its process ended with 3")],
)
def test_its_error_is_reported(
    end: str, reported: str, plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The report is the last line of the error, or the exit code if there is no output."""
    (tmp_path / "trainable.py").write_text(f"raise {end}")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with DryRunProcess() as process:
        process.begin(plan, tmp_path, costliest(plan, tmp_path), on_gpu=False)
        made = process.answer(SECONDS)
    assert isinstance(made, DryRunResult)
    assert made.problems == (reported,)


def test_the_driver_does_not_wait_longer_than_the_limit(process: DryRunProcess, plan: Plan, tmp_path: Path) -> None:
    process.begin(plan, tmp_path, costliest(plan, tmp_path), on_gpu=False)
    assert process.answer(0.01) == "no answer in 0 s"


@pytest.mark.slow
def test_it_ends_with_its_driver(process: DryRunProcess) -> None:
    assert process._process.stdin is not None
    process._process.stdin.close()
    assert process._process.wait(SECONDS) == 0
