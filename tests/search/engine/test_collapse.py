"""Sweeps whose trials come to nothing for a reason that is not theirs."""

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

from search.engine.collapse import ALIKE, Collapse
from search.engine.halt import Halt
from search.record.records import State
from search.study.sweep_study import SweepStudy
from trainable.workers.messages import TrialFailure, TrialReport

ROOT = Path(__file__).parents[3]
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
def halt() -> Halt:
    return Halt()


@pytest.fixture
def collapse(ended: list[SimpleNamespace], halt: Halt) -> Collapse:
    return Collapse(cast("SweepStudy", SimpleNamespace(records=ended)), halt, slots=1)


def new_trial(last: TrialReport | TrialFailure | None = None) -> Trial:
    trial = Trial("stub", stub=True)
    trial.run_metadata.last_result = last.to_result() if last else {}
    return trial


def test_one_trial_that_keeps_dying_halts_nothing_and_two_do(collapse: Collapse, halt: Halt) -> None:
    one, two = new_trial(), new_trial()
    for _ in range(4):
        collapse.on_trial_recover(0, [], one)
    assert not halt.wanted
    for _ in range(2):
        collapse.on_trial_recover(0, [], two)
    assert halt.problem
    assert "6 processes of trials died one after the other" in halt.problem


def test_deaths_with_reports_between_halt_nothing(collapse: Collapse, halt: Halt) -> None:
    trial, other = new_trial(), new_trial()
    for _ in range(20):
        collapse.on_trial_result(0, [], other, TrialReport("target").to_result())
        collapse.on_trial_recover(0, [], trial)
        collapse.on_trial_recover(0, [], other)
    assert not halt.wanted


def test_the_first_trials_that_fail_alike_halt_the_sweep(collapse: Collapse, halt: Halt) -> None:
    for _ in range(ALIKE):
        assert not halt.wanted
        collapse.on_trial_complete(0, [], new_trial(TrialFailure("no kernel image")))
    assert halt.problem
    assert "the first 5 trials all failed alike (no kernel image)" in halt.problem


@pytest.mark.parametrize("state", [State.FINISHED, State.STOPPED])
def test_trials_that_fail_beside_others_halt_nothing(
    collapse: Collapse, halt: Halt, ended: list[SimpleNamespace], state: State
) -> None:
    ended.append(SimpleNamespace(state=state))
    for _ in range(2 * ALIKE):
        collapse.on_trial_complete(0, [], new_trial(TrialFailure("no kernel image")))
    assert not halt.wanted


def test_failures_of_several_kinds_or_between_pauses_halt_nothing(collapse: Collapse, halt: Halt) -> None:
    for number in range(2 * ALIKE):
        collapse.on_trial_complete(0, [], new_trial(TrialFailure(f"the loss is nan at step {number}")))
        collapse.on_trial_complete(0, [], new_trial(TrialReport("target", value=0.5)))
        collapse.on_trial_complete(0, [], new_trial(TrialReport("target", value=0.5)))
    assert not halt.wanted


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("code", "trials", "sentence", "counts"),
    [
        (DIES, 8, r"6 processes of trials died one after the other", {"lost": 1, "running": 1}),
        (DIES, 1, r"every trial was lost: .*ray-logs holds .*`transfersweep extend tiny --trials 1", {"lost": 1}),
        (FAILS, 8, r"the first 5 trials all failed alike \(no kernel image is available\)", {"failed": 5}),
    ],
    ids=["processes die", "all are lost", "all fail alike"],
)
def test_such_a_sweep_ends_with_1_and_its_reason(
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
