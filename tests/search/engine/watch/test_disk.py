"""Which checkpoints are no longer needed, by records made by hand; and the message about a full disk."""

import copy
import errno
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from optuna.exceptions import StorageInternalError

from search.engine.watch.disk import explain_full_disk, is_full_disk, unneeded
from search.errors import StoppedError
from search.plan.plan import Plan, build_plan
from search.record.records import State, TrialRecord
from search.record.trial_names import Role, key_of, trial_name


@pytest.fixture
def plan(blocks: dict[str, Any]) -> Plan:
    changed = copy.deepcopy(blocks)
    changed["sweep"] |= {"finalists": 1, "confirm_seeds": 1, "keep_best": 2, "start_with": []}
    return build_plan(changed, (Path("/"),), "test")


def record(
    number: int,
    value: float | None,
    source: bool = True,
    state: State = State.FINISHED,
    role: Role = "search",
    **changes: Any,
) -> TrialRecord:
    params = {"target.learning_rate": 1e-3, "target.epochs": 1, "source.enabled": source}
    seed = 0 if role == "search" else 1
    checkpoint = f"tune-0/{trial_name(key_of(number, role, seed, changes))}-0/checkpoint_000000"
    return TrialRecord(number, state, params, seed, role, value, checkpoint=checkpoint, changes=changes)


def test_the_best_the_finalists_and_their_runs_stay(plan: Plan) -> None:
    records = [
        record(0, 0.9),
        record(1, 0.8),
        record(2, 0.7),  # third
        record(3, 0.2, source=False),  # the best without a source: a finalist
        record(4, 0.1, source=False),
        record(5, 0.6, state=State.STOPPED),
        record(6, None, state=State.FAILED),
        record(7, 0.1, state=State.RUNNING),
        record(0, 0.85, role="confirm"),
        record(3, 0.3, source=False, role="confirm"),
        record(2, 0.65, role="confirm"),  # of an earlier finalist
        record(0, 0.3, source=False, role="no_source"),
        record(0, 0.9, role="labels", **{"target.train_rows": 16}),
    ]
    expected = [2, 4, 5, 6, "2.seed-1", "0.no-source.seed-1", "0.16-rows.seed-1"]
    assert [r.key for r in unneeded(plan, records)] == expected
    left = sum(r.state is not State.RUNNING for r in records) - len(expected)
    assert left <= plan.models_kept
    assert unneeded(plan, [record(0, None, state=State.RUNNING)]) == []


def test_the_model_of_a_stopped_trial_stays_while_it_is_the_best(plan: Plan) -> None:
    stopped = replace(record(1, 0.8, state=State.STOPPED), model_saved=True)
    assert unneeded(plan, [record(0, 0.5), stopped]) == []
    others = [record(number, 0.9) for number in (2, 3, 4)]
    assert stopped in unneeded(plan, [stopped, *others])


def test_a_full_database_is_a_full_disk(tiny_disk: Path) -> None:
    with closing(sqlite3.connect(tiny_disk / "study.db")) as database:
        database.execute("create table facts (content blob)")
        with pytest.raises(sqlite3.OperationalError) as caught:
            for _ in range(5):
                database.execute("insert into facts values (zeroblob(1000000))")
                database.commit()
    assert is_full_disk(caught.value)
    words = r"disk: the disk is full or nearly full, \d+ MB are free"
    with pytest.raises(StoppedError, match=words), explain_full_disk(tiny_disk):
        raise StorageInternalError("cannot commit") from caught.value


def test_other_errors_are_unchanged(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), explain_full_disk(tmp_path):
        (tmp_path / "missing").read_text()
    assert is_full_disk(OSError(errno.EDQUOT, "Disk quota exceeded"))
