"""Sweeps whose trials all fail for a cause outside their settings."""

import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from ray.tune.experiment import Trial
from yaml_text import dump_yaml

from search.engine.schedule.slots import Slots
from search.engine.watch.repeated_failures import EQUAL_FAILURES, RepeatedFailures
from search.engine.watch.stop_request import StopRequest
from search.record.records import State
from search.study.sweep_study import SweepStudy
from trainable.workers.messages import TrialFailure, TrialReport

ROOT = Path(__file__).parents[4]
DIES = """
import os
from trainable.workers import actor as ray_trainable
def step(self):
    os._exit(1)
ray_trainable.TuneTrial.step = step
"""
FAILS = """
from trainable.workers import actor as ray_trainable
from trainable.workers.messages import TrialFailure
def step(self):
    return TrialFailure("no kernel image is available").to_result() | {"done": True}
ray_trainable.TuneTrial.step = step
"""


@pytest.fixture
def ended() -> list[SimpleNamespace]:
    """Trials of the study, each with a state."""
    return []


@pytest.fixture
def stop() -> StopRequest:
    return StopRequest()


@pytest.fixture
def failures(ended: list[SimpleNamespace], stop: StopRequest) -> RepeatedFailures:
    return RepeatedFailures(cast("SweepStudy", SimpleNamespace(records=ended)), stop, Slots(1))


def new_trial(last: TrialReport | TrialFailure | None = None) -> Trial:
    trial = Trial("stub", stub=True)
    trial.run_metadata.last_result = last.to_result() if last else {}
    return trial


def test_two_trials_that_keep_dying_stop_the_sweep_but_not_one(failures: RepeatedFailures, stop: StopRequest) -> None:
    one, two = new_trial(), new_trial()
    for _ in range(4):
        failures.on_trial_recover(0, [], one)
    assert not stop.requested
    for _ in range(2):
        failures.on_trial_recover(0, [], two)
    assert stop.problem
    assert "6 trial processes in a row died" in stop.problem


def test_deaths_with_reports_in_between_do_not_stop_the_sweep(failures: RepeatedFailures, stop: StopRequest) -> None:
    trial, other = new_trial(), new_trial()
    for _ in range(20):
        failures.on_trial_result(0, [], other, TrialReport("target").to_result())
        failures.on_trial_recover(0, [], trial)
        failures.on_trial_recover(0, [], other)
    assert not stop.requested


def test_equal_failures_of_the_first_trials_stop_the_sweep(failures: RepeatedFailures, stop: StopRequest) -> None:
    for _ in range(EQUAL_FAILURES):
        assert not stop.requested
        failures.on_trial_complete(0, [], new_trial(TrialFailure("no kernel image")))
    assert stop.problem
    assert "the first 5 trials all failed in the same way (no kernel image)" in stop.problem


@pytest.mark.parametrize("state", [State.FINISHED, State.STOPPED])
def test_failures_do_not_stop_a_sweep_with_a_successful_trial(
    failures: RepeatedFailures, stop: StopRequest, ended: list[SimpleNamespace], state: State
) -> None:
    ended.append(SimpleNamespace(state=state))
    for _ in range(2 * EQUAL_FAILURES):
        failures.on_trial_complete(0, [], new_trial(TrialFailure("no kernel image")))
    assert not stop.requested


def test_different_failures_do_not_stop_the_sweep(failures: RepeatedFailures, stop: StopRequest) -> None:
    for number in range(2 * EQUAL_FAILURES):
        failures.on_trial_complete(0, [], new_trial(TrialFailure(f"the loss is nan at step {number}")))
        failures.on_trial_complete(0, [], new_trial(TrialReport("target", value=0.5)))
        failures.on_trial_complete(0, [], new_trial(TrialReport("target", value=0.5)))
    assert not stop.requested


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("code", "trials", "sentence", "counts"),
    [
        (DIES, 8, r"6 trial processes in a row died", {"lost": 1, "running": 1}),
        (DIES, 1, r"every trial was lost, .*ray-logs holds .*`transfersweep extend tiny --trials 1", {"lost": 1}),
        (FAILS, 8, r"the first 5 trials all failed in the same way \(no kernel image is available\)", {"failed": 5}),
    ],
    ids=["processes die", "all are lost", "all fail alike"],
)
def test_the_command_exits_with_1_and_the_reason(
    code: str, trials: int, sentence: str, counts: dict[str, int], blocks: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "broken_machine.py").write_text(code, encoding="utf-8")
    blocks["sweep"] |= {"trials": trials, "max_concurrent": 1}
    (tmp_path / "tiny.yaml").write_text(dump_yaml(blocks), encoding="utf-8")
    path = os.pathsep.join([str(ROOT), str(tmp_path)])
    environment = os.environ | {"PYTHONPATH": path, "RAY_preload_python_modules": "broken_machine"}
    command = [sys.executable, "-m", "search", "run", str(tmp_path / "tiny.yaml"), "--storage", str(tmp_path / "runs")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    outcome = json.loads((tmp_path / "runs" / "tiny" / "outcome.json").read_text(encoding="utf-8"))
    assert re.search(sentence, last), last
    assert not outcome["complete"]
    assert Counter(trial["state"] for trial in outcome["trials"]) == counts
    if "lost" in counts:
        assert list((tmp_path / "runs" / "tiny" / "ray-logs").glob("worker-*.err"))
