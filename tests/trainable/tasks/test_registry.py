"""The table of the tasks in docs/architecture.md says what the objects say."""

import re
from pathlib import Path

import pytest

from trainable.answers.registry import ANSWERS
from trainable.baselines.results import NAMES_BY_TASK
from trainable.metrics.metric import SOURCE_ONLY, TASK_METRICS
from trainable.tasks.registry import TASKS

PAGE = Path(__file__).parents[3] / "docs" / "architecture.md"


@pytest.mark.parametrize("task", TASKS)
def test_the_table_of_tasks_says_what_exists(task: str) -> None:
    row = re.search(rf"^\| {task} \| (.*) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert row is not None
    exists = {True: "yes", False: "no"}
    assert row[1].split(" | ") == [
        TASKS[task].head(("a", "b")).reads,
        exists[task not in SOURCE_ONLY],
        exists[task in NAMES_BY_TASK],
        exists[task in ANSWERS],
    ]


def test_every_task_has_metrics() -> None:
    assert TASKS.keys() == TASK_METRICS.keys()
