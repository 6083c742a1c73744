"""A sweep waits for a study that another process has locked; if that takes too long, it ends with one sentence."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from search.engine.watch.hung_trials import STANDSTILL_SECONDS, HungTrials
from search.errors import PlanError, StoppedError
from search.plan.plan import build_plan
from search.record.records import State
from search.storage import sqlite_lock
from search.storage.sqlite_lock import explain_locked_study
from search.study.sweep_study import SweepStudy
from trainable.workers.messages import TrialReport


@contextmanager
def lock(file: Path, seconds: float | None = None) -> Iterator[None]:
    """Lock the file for all others, for that many seconds or until the block ends."""
    with closing(sqlite3.connect(file, check_same_thread=False, isolation_level=None)) as other:
        other.execute("begin exclusive")
        if seconds is not None:
            threading.Timer(seconds, other.execute, ("rollback",)).start()
        yield
        if other.in_transaction:
            other.execute("rollback")


@pytest.fixture
def study(blocks: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SweepStudy:
    monkeypatch.setitem(sqlite_lock.WAITING_ARGUMENTS, "timeout", 0.01)
    blocks["sweep"] |= {"start_with": []}
    plan = build_plan(blocks, (Path("/"),), "test")
    return SweepStudy(tmp_path / "study.db", plan.settings, plan.space, 0)


def test_a_sweep_waits_for_its_study(study: SweepStudy, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert study.begin_search_trial() is not None
    with lock(tmp_path / "study.db", seconds=0.3):
        study.report(0, TrialReport("target", value=0.5, fraction_done=0.5))
    with lock(tmp_path / "study.db", seconds=0.3):
        study.end(0, State.FINISHED)
    again = SweepStudy(tmp_path / "study.db", study.settings, study.space, 0)
    assert again.records == study.records
    assert "another process has locked an SQLite file of the sweep: waiting" in caplog.text


def test_a_long_wait_ends_with_one_sentence_and_nothing_is_lost(
    study: SweepStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_lock, "LOCK_SECONDS", 0.2)
    file = tmp_path / "study.db"
    assert study.begin_search_trial() is not None
    study.report(0, TrialReport("target", value=0.5, fraction_done=0.5))
    words = r"study.db: another process, .* nothing is lost: stop that process, .* then `transfersweep resume tiny`"
    in_words = explain_locked_study(file, "transfersweep resume tiny")
    with lock(file), pytest.raises(StoppedError, match=words), in_words:
        study.end(0, State.FINISHED)
    again = SweepStudy(file, study.settings, study.space, 0)
    assert [(r.state, r.value) for r in again.records] == [(State.RUNNING, 0.5)]


def test_opening_a_locked_study_fails_soon(study: SweepStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_lock, "OPEN_SECONDS", 0.1)
    with lock(tmp_path / "study.db"), pytest.raises(PlanError, match="another process has locked it"):
        SweepStudy(tmp_path / "study.db", study.settings, study.space, 0)


def test_other_errors_are_unchanged(tmp_path: Path) -> None:
    with (
        pytest.raises(sqlite3.OperationalError, match="no such table"),
        explain_locked_study(tmp_path, "resume"),
        closing(sqlite3.connect(tmp_path / "study.db", **sqlite_lock.WAITING_ARGUMENTS)) as study,
    ):
        study.cursor().execute("select * from nowhere")


def test_no_trial_counts_as_hanging_while_the_driver_itself_waits(study: SweepStudy) -> None:
    """The driver cannot read reports of trials in the meantime."""
    now = [0.0]
    watch = HungTrials(study, 1.0, lambda: now[0])
    watch._last_report = {"a": 0.0}
    watch.on_step_begin(0, [])
    now[0] = 10 * STANDSTILL_SECONDS
    watch.on_step_begin(1, [])
    assert now[0] - watch._last_report["a"] == 0
    now[0] += STANDSTILL_SECONDS / 2
    watch.on_step_begin(2, [])
    assert now[0] - watch._last_report["a"] == STANDSTILL_SECONDS / 2
