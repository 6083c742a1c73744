"""Which trials fit the minutes of a sweep. The clock is moved by hand, and a trial takes as long as the test says."""

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ray.tune.result import TIME_TOTAL_S
from ray.tune.utils import flatten_dict

from search.engine.schedule import planner
from search.engine.schedule.budget import Budget
from search.engine.schedule.planner import Planner
from search.engine.schedule.searcher import StudySearcher
from search.engine.schedule.slots import Slots
from search.plan.plan import Plan, build_plan
from search.preflight.forecast import TrialTimes
from search.record.records import State, TrialRecord
from search.study.finalists import Repeat, missing_repeats
from search.study.sweep_study import SweepStudy
from trainable.settings.config import TrialConfig
from trainable.workers.messages import TrialReport

Clock = list[float]


class Times(TrialTimes):
    """Ten seconds for a source stage, and ten for each epoch of the target."""

    def __init__(self) -> None:
        """Forecast without a measured pace."""

    def seconds(self, config: TrialConfig, name: str) -> float:
        return 10.0 if name == "source" else 10.0 * config.target.epochs

    def sources_are_cached(self, config: TrialConfig) -> bool:
        return False


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


@dataclass
class Sweep:
    """A sweep of one slot whose trials take `pace` times as long as the forecast says."""

    searcher: StudySearcher
    clock: Clock
    pace: float = 1.0
    begun: int = 0

    def begin(self) -> dict[str, Any] | None:
        """Begin the next trial; return its task, or None if the search ends."""
        task = self.searcher.suggest(f"id{self.begun}")
        self.begun += 1
        return task if isinstance(task, dict) else None

    def end(self, task: dict[str, Any]) -> float:
        """Run a trial to its end; return its seconds."""
        with_source = task["trial"]["source"] is not None and task["trial"]["source"]["enabled"]
        seconds = self.pace * 10.0 * (task["trial"]["target"]["epochs"] + with_source)
        self.clock[0] += seconds
        times = {"target.train": {"seconds": seconds}, **({"source.train": {"seconds": 0.0}} if with_source else {})}
        metrics = {"target.validation.macro_f1": 0.5}
        report = TrialReport("target", fraction_done=1.0, value=0.5, metrics=metrics, finished=True, times=times)
        result = flatten_dict(report.to_result() | {TIME_TOTAL_S: seconds})
        self.searcher.on_trial_complete(f"id{self.begun - 1}", result)
        return seconds


Open = Callable[..., Sweep]


@pytest.fixture
def open_sweep(blocks: dict[str, Any], tmp_path: Path, clock: Clock) -> Open:
    """Opens a new sweep with these `sweep` settings."""
    opened = iter(range(10_000))

    def open_(pace: float = 1.0, held_out_rows: int = 0, **sweep: Any) -> Sweep:
        changed = copy.deepcopy(blocks)
        changed["sweep"] |= {"trials": 50, "confirm_seeds": 0, "start_with": None, **sweep}
        plan = replace(build_plan(changed, (tmp_path,), "test"), held_out_rows=held_out_rows)
        study = SweepStudy(tmp_path / f"{next(opened)}.db", plan.settings, plan.space, 0)
        clock[0] = 0.0
        budget = Budget(plan, study)
        return Sweep(StudySearcher(plan, study, budget, Slots(1), times=Times()), clock, pace)

    return open_


def epochs(task: dict[str, Any] | None) -> tuple[bool, int]:
    assert task
    source = task["trial"]["source"]
    return bool(source and source["enabled"]), task["trial"]["target"]["epochs"]


@pytest.mark.parametrize(("seconds", "first"), [(40, (True, 3)), (39, (True, 2)), (19, (False, 1)), (9, (False, 1))])
def test_the_first_trial_is_cheaper_if_the_default_does_not_fit(
    seconds: float, first: tuple[bool, int], open_sweep: Open
) -> None:
    assert epochs(open_sweep(minutes=seconds / 60).begin()) == first


def test_the_pace_of_the_trials_corrects_the_forecast(open_sweep: Open) -> None:
    sweep = open_sweep(pace=2.0, minutes=2)
    task = sweep.begin()
    assert task
    sweep.end(task)  # 80 s instead of 40
    assert epochs(sweep.begin()) == (False, 2)  # at this pace an epoch takes 20 s


def test_repeats_that_do_not_fit_are_left_out(open_sweep: Open) -> None:
    sweep = open_sweep(minutes=1, trials=1, confirm_seeds=1)
    task = sweep.begin()
    assert epochs(task) == (True, 3)
    assert task
    sweep.end(task)
    assert sweep.begin() is None  # 20 s are left, and a repeat takes 40


def test_minutes_that_are_too_few_for_a_repeat_go_to_further_trials(open_sweep: Open) -> None:
    sweep = open_sweep(minutes=1.2, confirm_seeds=2, finalists=1)
    while task := sweep.begin():
        sweep.end(task)
    records = sweep.searcher.study.records
    assert {record.role for record in records} == {"search"}
    assert 72 - sweep.clock[0] < 10  # seconds of the shortest trial
    assert len({tuple(record.params.items()) for record in records}) == len(records)


def test_the_search_leaves_time_for_repeats_but_not_more_than_a_third(open_sweep: Open) -> None:
    sweep = open_sweep(minutes=2, confirm_seeds=2, finalists=1)
    while (task := sweep.begin()) and task["compare"]:
        sweep.end(task)
    assert task  # a repeat
    assert sweep.clock[0] == 80.0


@pytest.mark.parametrize(("minutes", "pace"), [(2, 1.0), (3, 1.0), (5, 1.0), (4, 2.0), (5, 2.0)])
def test_the_best_trial_trains_on_all_rows_whatever_else_there_is_time_for(
    minutes: int, pace: float, open_sweep: Open
) -> None:
    sweep = open_sweep(pace, held_out_rows=100, minutes=minutes, refit=True, confirm_seeds=2, finalists=2)
    while task := sweep.begin():
        sweep.end(task)
    roles = [record.role for record in sweep.searcher.study.records]
    assert roles[0] == "search"
    assert roles[-1] == "refit"
    assert sweep.clock[0] <= 60 * minutes


def test_the_search_leaves_time_for_the_labels_curve(open_sweep: Open) -> None:
    sweep = open_sweep(minutes=10, labels_curve=[8], labels_draws=2)
    while task := sweep.begin():
        sweep.end(task)
    roles = [record.role for record in sweep.searcher.study.records]
    assert roles[-4:] == ["labels"] * 4
    assert 1 < roles.count("search") < 50
    assert sweep.clock[0] <= 600


@pytest.mark.parametrize(("minutes", "rounds"), [(20, [8, 3]), (60, [8, 4])])
def test_the_search_leaves_time_for_all_rounds_of_repeats(minutes: float, rounds: list[int], open_sweep: Open) -> None:
    """Once, the time of the first round alone was left, and with 4 held-out rows one run chose the winner."""
    sweep = open_sweep(held_out_rows=4, minutes=minutes, refit=True, confirm_seeds=2, finalists=None)
    while task := sweep.begin():
        sweep.end(task)
    records = sweep.searcher.study.records
    assert [sum(record.seed == seed for record in records if record.role == "confirm") for seed in (1, 2)] == rounds
    assert records[-1].role == "refit"


def test_what_follows_the_search_is_chosen_once_for_many_proposals(
    open_sweep: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once, a decision took 5 s with 100 trials, and both slots waited for it."""
    chosen: list[int] = []

    def counted(plan: Plan, records: list[TrialRecord]) -> list[Repeat]:
        chosen.append(len(records))
        return missing_repeats(plan, records)

    monkeypatch.setattr(planner, "missing_repeats", counted)
    sweep = open_sweep(held_out_rows=4, minutes=5, confirm_seeds=1)
    while task := sweep.begin():
        sweep.end(task)
    states = 2 * len(sweep.searcher.study.records) + 1  # each trial begins and ends
    assert 0 < len(chosen) <= states


def test_without_minutes_nothing_is_planned(open_sweep: Open) -> None:
    sweep = open_sweep(trials=3)
    for _ in range(3):
        task = sweep.begin()
        assert task
        sweep.end(task)
    assert sweep.begin() is None
    assert [record.state for record in sweep.searcher.study.records] == [State.FINISHED] * 3


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(minutes=st.floats(0.1, 4.0), seeds=st.integers(0, 2), pace=st.floats(0.5, 2.0))
def test_no_trial_begins_that_does_not_fit(open_sweep: Open, minutes: float, seeds: int, pace: float) -> None:
    """From the second trial on the pace is known, so that no trial ends after the limit."""
    sweep = open_sweep(pace, minutes=minutes, confirm_seeds=seeds, finalists=1)
    if first := sweep.begin():
        sweep.end(first)
    while task := sweep.begin():
        sweep.end(task)
        assert sweep.clock[0] <= 60 * minutes + 1e-6


def test_a_planner_without_a_forecast_lets_every_trial_begin(open_sweep: Open) -> None:
    searcher = open_sweep(minutes=1).searcher
    plan: Plan = searcher.plan
    planner = Planner(plan, searcher.study, searcher.budget, Slots(1), None)
    assert not planner.plans
    assert planner.fits(plan.config({"source.enabled": True, "target.epochs": 3}), with_source=True)
