import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from search.engine.schedule.budget import GRACE_SECONDS, Budget, BudgetStopper
from search.plan.plan import Plan
from search.plan.settings import SweepSettings
from search.record.records import State
from search.study.finalists import Repeat
from search.study.sweep_study import SweepStudy
from spaces import parse_space
from trainable.workers.messages import TrialReport

SPACE = parse_space({"target.epochs": {"int": [1, 40]}})
Open = Callable[..., tuple[Budget, SweepStudy]]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Moves the clock forward without waiting."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def wait(seconds: float) -> None:
        now[0] += seconds

    return wait


@pytest.fixture
def open_budget(tmp_path: Path, clock: Callable[[float], None]) -> Open:
    def open_(**settings: Any) -> tuple[Budget, SweepStudy]:
        sweep = SweepSettings(name="tiny", metric="macro_f1", finalists=1, **settings)
        study = SweepStudy(tmp_path / "study.db", sweep, SPACE, 0)
        return Budget(Plan(sweep, {}, SPACE, ()), study), study

    return open_


def train(study: SweepStudy, seconds: float, state: State = State.FINISHED) -> None:
    number = study.begin_search_trial().number
    study.report(number, TrialReport("target", value=0.5, fraction_done=1.0), seconds)
    study.end(number, state)


def test_all_trials_count_whether_finished_stopped_or_failed(open_budget: Open) -> None:
    budget, study = open_budget(trials=3)
    for state in (State.FINISHED, State.STOPPED):
        train(study, 1.0, state)
        assert budget.allows_new_trial(1)
    study.begin_repeat(Repeat("confirm", 0, 1, {"target.epochs": 1}))  # costs no trial of the search
    assert budget.allows_new_trial(1)
    train(study, 1.0, State.FAILED)
    assert not budget.allows_new_trial(1)
    assert not budget.spent()
    assert budget.used().trials == 3


@pytest.mark.parametrize(("settings", "more"), [({}, False), ({"minutes": 9}, True), ({"worker_hours": 9}, True)])
def test_without_a_number_of_trials_the_time_limits_them(
    settings: dict[str, float], more: bool, open_budget: Open
) -> None:
    budget, study = open_budget(**settings, sampler="random", start_with=[], confirm_seeds=0)
    for _ in range(20):
        train(study, 1)
    assert budget.allows_new_trial(1) is more


def test_minutes_count_over_all_sessions(open_budget: Open, clock: Callable[[float], None]) -> None:
    budget, _ = open_budget(minutes=1)
    clock(40)
    assert not budget.spent()
    budget.save()
    clock(1000)  # between two sessions
    budget, _ = open_budget(minutes=1)
    assert budget.seconds == pytest.approx(40)
    clock(19)
    assert not budget.spent()
    clock(1)
    assert budget.spent()
    assert not budget.allows_new_trial(1)
    stopper = BudgetStopper(budget)
    assert stopper("a trial", {})
    assert not stopper.stop_all()  # trials have time for a last report
    clock(GRACE_SECONDS)
    assert stopper.stop_all()


def test_the_deadline_is_when_the_minutes_are_used_up(open_budget: Open, clock: Callable[[float], None]) -> None:
    assert open_budget()[0].deadline() == math.inf
    budget, _ = open_budget(minutes=2)
    clock(50)
    assert budget.deadline() - time.time() == pytest.approx(70, abs=1)


def test_worker_hours_count_every_worker(open_budget: Open) -> None:
    budget, study = open_budget(worker_hours=0.5, workers_per_trial=2)
    train(study, 450)
    assert budget.worker_hours == pytest.approx(0.25)
    assert not budget.spent()
    train(study, 450, State.STOPPED)
    assert budget.spent()


@pytest.mark.parametrize(("seconds", "room"), [(60, True), (61, False)])
def test_minutes_leave_room_for_the_confirmation(
    seconds: float, room: bool, open_budget: Open, clock: Callable[[float], None]
) -> None:
    """One trial at a time takes a minute: one more, its further seed, and two without the source are four."""
    budget, study = open_budget(minutes=5, confirm_seeds=1)
    train(study, 60)
    clock(seconds)
    assert budget.allows_new_trial(slots=1) is room
    assert budget.allows_new_trial(slots=4)


@pytest.mark.parametrize(("hours", "room"), [(5.01, True), (4.99, False)])
def test_worker_hours_leave_room_for_the_confirmation(hours: float, room: bool, open_budget: Open) -> None:
    budget, study = open_budget(worker_hours=hours, confirm_seeds=1)
    train(study, 3600)
    assert budget.allows_new_trial(slots=1) is room
    assert budget.allows_new_trial(slots=8) is room  # worker-hours do not depend on the number of slots


def test_without_confirmation_only_the_trial_itself_needs_room(
    open_budget: Open, clock: Callable[[float], None]
) -> None:
    budget, study = open_budget(minutes=2, confirm_seeds=0)
    train(study, 60)
    clock(59)
    assert budget.allows_new_trial(slots=1)
    clock(2)
    assert not budget.allows_new_trial(slots=1)


def test_the_time_left_is_not_known_before_a_trial_has_ended(open_budget: Open, clock: Callable[[float], None]) -> None:
    budget, study = open_budget(trials=5, confirm_seeds=0, minutes=10)
    assert budget.time_left(slots=2) is None
    train(study, 100)
    left = budget.time_left(slots=2)
    assert left is not None
    assert 200 <= left <= 300
    clock(590)
    assert budget.time_left(slots=2) == pytest.approx(10)
