"""Messages arrive as they were sent, whether Tune flattens them or not, also with the entries that Tune adds."""

import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ray.tune.utils import flatten_dict

from trainable.workers.messages import (
    KEY,
    PERCENT_DONE,
    VALUE,
    TrialFailure,
    TrialReport,
    TrialTask,
    key_of_task,
    read_result,
)

numbers = st.floats(allow_nan=False)
fractions = st.floats(0, 1)
names = st.text(min_size=1)  # of labels, with slashes and dots in them too
reports = st.builds(
    TrialReport,
    stage=st.sampled_from(["source", "target"]),
    stage_step=st.integers(0),
    epoch=numbers,
    fraction_done=fractions,
    percent_done=st.floats(0, 100),
    value=st.none() | numbers,
    metrics=st.dictionaries(names, numbers, max_size=3),
    improved=st.booleans(),
    source_ready=st.booleans(),
    finished=st.booleans(),
    times=st.dictionaries(names, st.dictionaries(names, numbers, max_size=3), max_size=3),
    notes=st.lists(st.text()).map(tuple),
)
failures = st.builds(TrialFailure, error=st.text()) | st.just(TrialFailure(disk_is_full=True))
FROM_TUNE = {"done": True, "time_total_s": 1.5, "pid": 7, "trial_id": "a", "config": {"key": 3, "trial": {"seed": 0}}}


@given(said=reports | failures, added=st.sampled_from([{}, FROM_TUNE]))
def test_reports_and_failures_arrive(said: TrialReport | TrialFailure, added: dict[str, Any]) -> None:
    result = said.to_result() | added
    assert read_result(result) == said
    assert read_result(flatten_dict(result)) == said


def test_a_result_without_a_message_gives_none() -> None:
    assert read_result(flatten_dict(FROM_TUNE)) is None
    assert read_result({}) is None


@given(
    task=st.builds(
        TrialTask,
        key=st.integers(0) | names,
        trial=st.dictionaries(names, st.integers() | st.dictionaries(names, numbers, max_size=2), max_size=3),
        compare=st.booleans(),
        resume=st.none() | names,
        checkpoint_seconds=numbers,
    )
)
def test_tasks_arrive(task: TrialTask) -> None:
    config = task.to_config() | {"of Tune's": 1}
    assert TrialTask.from_config(config) == task
    assert key_of_task(config) == task.key


@pytest.mark.parametrize(("kind", "names"), [(TrialReport, {VALUE, PERCENT_DONE}), (TrialTask, {KEY})])
def test_names_that_other_modules_read_are_fields(kind: type[Any], names: set[str]) -> None:
    assert names <= {each.name for each in fields(kind)}


def test_messages_import_neither_torch_nor_ray() -> None:
    code = "import sys, trainable.workers.messages; print(*{'ray', 'torch'} & set(sys.modules))"
    root = Path(__file__).parents[3]
    loaded = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == ""
