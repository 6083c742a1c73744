"""Which trials Tune gets, and what the study stores about them. The tests make Tune's calls by hand, without Ray."""

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState
from ray.tune.experiment import Trial
from ray.tune.result import TIME_TOTAL_S
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher
from ray.tune.utils import flatten_dict

from search.engine.schedule.budget import Budget
from search.engine.schedule.schedulers import build_scheduler
from search.engine.schedule.searcher import StudySearcher
from search.engine.schedule.slots import Slots
from search.plan.plan import build_plan
from search.record.records import State
from search.study.summary import summarise
from search.study.sweep_study import SweepStudy
from trainable.metrics.metric import Direction
from trainable.workers.messages import TrialFailure, TrialReport

Result = dict[str, Any]
Open = Callable[..., StudySearcher]
Promoting = Callable[..., tuple[StudySearcher, TrialScheduler]]


@pytest.fixture
def open_searcher(blocks: dict[str, Any], tmp_path: Path) -> Open:
    """Opens a session of the test's sweep, with changed `sweep` settings or `space`."""

    def open_(
        space: dict[str, Any] | None = None, trial: dict[str, Any] | None = None, has_folds: bool = False, **sweep: Any
    ) -> StudySearcher:
        changed = copy.deepcopy(blocks)
        changed["sweep"] |= sweep
        changed["space"] = changed["space"] if space is None else space
        changed["trial"] |= trial or {}
        plan = replace(build_plan(changed, (tmp_path,), "test"), held_out_rows=100 * has_folds)
        study = SweepStudy(tmp_path / "study.db", plan.settings, plan.space, plan.base.get("seed", 0))
        return StudySearcher(plan, study, Budget(plan, study), Slots(2))

    return open_


SOURCE_READY = TrialReport("source", source_ready=True).to_result() | {TIME_TOTAL_S: 1.0}
"""The last report of a source stage."""


def said(value: float, share: float = 1.0, **further: Any) -> Result:
    """A result with a report, flattened as Tune passes it on."""
    metrics, finished = {"target.validation.macro_f1": value}, share == 1.0
    report = TrialReport(
        "target",
        fraction_done=share,
        percent_done=100 * share,
        value=value,
        metrics=metrics,
        improved=True,
        finished=finished,
    )
    return flatten_dict(report.to_result() | {TIME_TOTAL_S: 60 * share, **further})


def run_all(searcher: StudySearcher, value: Callable[[int], float] = lambda number: 0.5) -> list[dict[str, Any]]:
    """Run one trial at a time to the end, as Tune would; return the configurations."""
    configs = []
    while (config := searcher.suggest(f"id{len(configs)}")) != Searcher.FINISHED:
        assert isinstance(config, dict)
        searcher.on_trial_complete(f"id{len(configs)}", said(value(config["key"])))
        configs.append(config)
    return configs


def states(folder: Path) -> list[TrialState]:
    """Return the states in Optuna, of the search trials, then of the repeats."""
    storage = f"sqlite:///{folder / 'study.db'}"
    names = sorted(optuna.get_all_study_names(storage))
    return [t.state for name in names for t in optuna.load_study(storage=storage, study_name=name).trials]


def test_the_study_stores_how_each_trial_ended(open_searcher: Open, tmp_path: Path) -> None:
    searcher = open_searcher(trials=4, confirm_seeds=0, space={"target.epochs": {"int": [1, 9]}}, start_with=[])
    searcher.suggest("a")
    searcher.on_trial_result("a", SOURCE_READY)  # so that no trial waits
    searcher.on_trial_result("a", said(0.375, share=0.25))
    for name in "bcd":
        searcher.suggest(name)
    searcher.on_trial_complete("a", said(0.5))
    searcher.on_trial_result("b", said(0.125, share=0.25))
    searcher.on_trial_complete("b", said(0.25, share=0.5))
    searcher.on_trial_complete("c", TrialFailure("the loss is nan").to_result() | {TIME_TOTAL_S: 1.0})
    searcher.on_trial_complete("d", None, error=True)
    records = searcher.study.records
    assert [r.state for r in records] == [State.FINISHED, State.STOPPED, State.FAILED, State.LOST]
    assert (records[2].error, records[2].value) == ("the loss is nan", None)
    assert "process died" in str(records[3].error)
    assert states(tmp_path) == [TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL, TrialState.FAIL]


def test_no_slot_waits_for_a_source_that_another_trial_is_training(open_searcher: Open) -> None:
    points = [
        {"source.enabled": source, "target.learning_rate": rate, "target.epochs": 1}
        for source, rate in ((True, 1e-3), (True, 5e-3), (False, 1e-4))
    ]
    searcher = open_searcher(trials=3, confirm_seeds=0, start_with=points)
    assert searcher.suggest("a")["key"] == 0
    assert searcher.suggest("b")["key"] == 2  # the one that needs no source goes first
    assert searcher.suggest("c") is None
    searcher.on_trial_result("a", {**SOURCE_READY, "source_ready": False})  # an evaluation during the source stage
    assert searcher.suggest("c") is None
    searcher.on_trial_result("a", SOURCE_READY)
    assert searcher.suggest("c")["key"] == 1


@pytest.mark.parametrize("in_a_later_session", [False, True])
def test_a_trial_that_waits_ends_with_the_budget(open_searcher: Open, in_a_later_session: bool) -> None:
    points = [{"source.enabled": True, "target.learning_rate": rate, "target.epochs": 1} for rate in (1e-3, 5e-3)]
    sweep = {"trials": 2, "confirm_seeds": 0, "worker_hours": 0.01, "start_with": points}
    searcher = open_searcher(**sweep)
    assert isinstance(searcher.suggest("a"), dict)
    assert searcher.suggest("b") is None  # it waits for the source of the first
    searcher.on_trial_complete("a", said(0.5))  # after a minute
    if in_a_later_session:
        searcher = open_searcher(**sweep)
    assert searcher.suggest("b") == Searcher.FINISHED
    assert [record.state for record in searcher.study.records] == [State.FINISHED, State.STOPPED]


def test_more_trials_wait_than_there_are_slots_where_others_need_no_source(open_searcher: Open) -> None:
    points = [
        {"source.enabled": rate != 7e-3, "target.learning_rate": rate, "target.epochs": 1}
        for rate in (1e-3, 2e-3, 3e-3, 4e-3, 5e-3, 6e-3, 7e-3)
    ]
    searcher = open_searcher(trials=7, confirm_seeds=0, start_with=points)
    assert searcher.suggest("a")["key"] == 0
    assert searcher.suggest("b")["key"] == 6  # five others wait
    searcher.on_trial_result("a", SOURCE_READY)
    assert [searcher.suggest(name)["key"] for name in "cdefg"] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(("schedule", "waits"), [("linear", False), ("constant", True), ("warmup_stable_decay", True)])
def test_a_trial_waits_for_a_source_that_shares_epochs_with_its_own(
    schedule: str, waits: bool, open_searcher: Open, blocks: dict[str, Any]
) -> None:
    points = [
        {"source.enabled": True, "source.epochs": epochs, "target.learning_rate": 1e-3, "target.epochs": 1}
        for epochs in (3, 1, 3)
    ]
    points[2]["target.learning_rate"] = 5e-3
    source = {name: value for name, value in blocks["trial"]["source"].items() if name != "epochs"}
    trial = {"source": source | {"schedule": schedule}}
    space = {**blocks["space"], "source.epochs": {"int": [1, 3], "when": {"source.enabled": True}}}
    searcher = open_searcher(space, trial, trials=3, confirm_seeds=0, start_with=points)
    assert searcher.suggest("a")["key"] == 0
    if waits:
        assert searcher.suggest("b") is None
        searcher.on_trial_result("a", SOURCE_READY)
    assert searcher.suggest("b")["key"] == 1
    assert (searcher.suggest("c") is not None) is waits  # the third needs the same stage as the first


def test_a_source_whose_trial_failed_is_trained_by_the_next(open_searcher: Open) -> None:
    points = [{"source.enabled": True, "target.learning_rate": rate, "target.epochs": 1} for rate in (1e-3, 5e-3)]
    searcher = open_searcher(trials=2, confirm_seeds=0, start_with=points)
    assert searcher.suggest("a")["key"] == 0
    assert searcher.suggest("b") is None
    searcher.on_trial_complete("a", None, error=True)
    assert searcher.suggest("b")["key"] == 1


def test_only_the_given_points_run_if_there_are_no_more_trials(open_searcher: Open, tmp_path: Path) -> None:
    points = [
        {"source.enabled": False, "target.learning_rate": rate, "target.epochs": 1} for rate in (1e-3, 5e-3, 1e-4)
    ]
    configs = run_all(open_searcher(trials=3, confirm_seeds=0, start_with=points))
    assert [c["trial"]["target"]["learning_rate"] for c in configs] == [1e-3, 5e-3, 1e-4]
    assert set(states(tmp_path)) == {TrialState.COMPLETE}


GRID = {"target.epochs": {"int": [1, 3]}, "target.batch_size": {"choice": [8, 16]}}


@pytest.mark.parametrize(("trials", "run"), [(20, 6), (6, 6), (4, 4)])
def test_a_grid_runs_each_point_once_and_no_more_than_trials(
    trials: int, run: int, open_searcher: Open, tmp_path: Path
) -> None:
    given = [{"target.epochs": 2, "target.batch_size": 16}]
    trial = {"target": {"dataset": {"csv": "a.csv"}, "padding_length": 16}}
    searcher = open_searcher(
        GRID, trial, sampler="grid", scheduler="none", trials=trials, confirm_seeds=0, start_with=given
    )
    run_all(searcher)
    searched = [r.params for r in searcher.study.records if r.role == "search"]
    assert len(searched) == run
    assert len({repr(sorted(params.items())) for params in searched}) == run
    assert searched[0] == given[0]
    assert set(states(tmp_path)) == {TrialState.COMPLETE}


def test_finalists_run_again_on_further_seeds_when_the_search_is_over(open_searcher: Open) -> None:
    searcher = open_searcher(
        trials=3,
        finalists=2,
        confirm_seeds=2,
        space={"target.epochs": {"int": [1, 3]}},
        start_with=[],
        trial={"seed": 4},
    )
    configs = run_all(searcher, lambda number: {0: 0.25, 1: 0.75, 2: 0.5}.get(number, 0.5))
    again = [(r.role, r.number, r.seed) for r in searcher.study.records[3:]]
    assert again == [
        ("confirm", 1, 5),
        ("confirm", 1, 6),
        ("confirm", 2, 5),
        ("confirm", 2, 6),
        ("no_source", 1, 4),
        ("no_source", 1, 5),
        ("no_source", 1, 6),
    ]
    assert [c["trial"]["seed"] for c in configs] == [4, 4, 4, 5, 6, 5, 6, 4, 5, 6]
    assert [c["compare"] for c in configs] == [True] * 3 + [False] * 7  # no scheduler may stop a confirmation
    assert all(c["trial"]["target"]["evaluate_at"] == () for c in configs[3:])
    assert {c["trial"]["source"] is None or not c["trial"]["source"]["enabled"] for c in configs[7:]} == {True}


WITHOUT_SOURCE = [{"source.enabled": False, "target.learning_rate": 1e-3, "target.epochs": n} for n in (1, 2, 3)]


def test_a_finalist_is_confirmed_while_search_trials_run_only_if_none_of_them_can_replace_it(
    open_searcher: Open,
) -> None:
    searcher = open_searcher(trials=3, finalists=2, start_with=WITHOUT_SOURCE, confirm_seeds=1)
    for name in "abc":
        assert isinstance(searcher.suggest(name), dict)
    assert searcher.suggest("d") is None
    searcher.on_trial_complete("a", said(0.5))
    assert searcher.suggest("d") is None  # two others may become better
    searcher.on_trial_complete("b", said(0.25))
    assert isinstance(searcher.suggest("d"), dict)
    assert (searcher.study.records[3].role, searcher.study.records[3].number) == ("confirm", 0)
    assert searcher.suggest("e") is None  # the last one may become better than trial 1
    searcher.on_trial_complete("c", said(0.125))
    assert isinstance(searcher.suggest("e"), dict)
    assert (searcher.study.records[4].role, searcher.study.records[4].number) == ("confirm", 1)


def test_a_sweep_without_a_finished_trial_ends(open_searcher: Open, tmp_path: Path) -> None:
    searcher = open_searcher(trials=2)
    for name in "ab":
        searcher.suggest(name)
        searcher.on_trial_complete(name, TrialFailure("diverged").to_result())
    assert searcher.suggest("c") == Searcher.FINISHED
    assert states(tmp_path) == [TrialState.FAIL] * 2


def test_unfinished_trials_of_an_earlier_session_come_first(open_searcher: Open, tmp_path: Path) -> None:
    first = open_searcher(trials=3, start_with=WITHOUT_SOURCE)
    given = [first.suggest(name) for name in "ab"]
    first.on_trial_result("b", said(0.25, share=0.25))
    first.study.set_checkpoint(1, "checkpoint of b")
    second = open_searcher(trials=3, start_with=WITHOUT_SOURCE)
    resumed = [second.suggest(name) for name in "xy"]
    assert [c["key"] for c in resumed] == [0, 1]
    assert [c["trial"] for c in resumed] == [c["trial"] for c in given]
    assert [c["resume"] for c in resumed] == [None, str(tmp_path / "checkpoint of b")]
    second.on_trial_complete("x", said(0.5))
    second.on_trial_complete("y", said(0.5))
    run_all(second)
    assert set(states(tmp_path)) == {TrialState.COMPLETE}
    assert [r.role for r in second.study.records].count("search") == 3


def test_points_beyond_the_budget_are_not_in_the_study(open_searcher: Open, tmp_path: Path) -> None:
    """Neither points of `start_with` nor repeats of finalists: a queued trial would stay there for ever."""
    searcher = open_searcher(trials=3, start_with=WITHOUT_SOURCE, worker_hours=0.025, confirm_seeds=1)
    run_all(searcher)  # each takes a minute, the budget is one and a half
    assert states(tmp_path) == [TrialState.COMPLETE] * 2
    assert [r.role for r in searcher.study.records] == ["search", "confirm"]


def test_a_scheduler_gets_its_comparison_points_and_a_group_its_parts(open_searcher: Open) -> None:
    config = open_searcher(scheduler="asha", workers_per_trial=3).suggest("a")
    assert isinstance(config, dict)
    assert config["trial"]["target"]["evaluate_at"] == (0.25, 0.5)
    assert config["trial"]["micro_batches"] == 3


def test_a_trial_cut_off_by_a_stop_request_stays_running(open_searcher: Open) -> None:
    searcher = open_searcher(start_with=WITHOUT_SOURCE)
    requested: list[bool] = []
    stopping = StudySearcher(searcher.plan, searcher.study, searcher.budget, Slots(2), lambda: bool(requested))
    assert isinstance(stopping.suggest("whole"), dict)
    assert isinstance(stopping.suggest("half"), dict)
    requested.append(True)
    assert stopping.suggest("none") == Searcher.FINISHED
    stopping.on_trial_complete("whole", said(0.5))
    stopping.on_trial_complete("half", said(0.4, 0.5))
    assert [r.state for r in stopping.study.records] == [State.FINISHED, State.RUNNING]
    assert stopping.study.record(1).progress == 0.5


@pytest.fixture
def promoting(open_searcher: Open) -> Promoting:
    """Opens a session of a search with the `promotion` scheduler, and returns that scheduler too."""

    def open_(**sweep: Any) -> tuple[StudySearcher, TrialScheduler]:
        space = {"target.epochs": {"int": [1, 9]}}
        settings = {"scheduler": "promotion", "sampler": "grid", "start_with": [], "confirm_seeds": 0}
        plain = open_searcher(space, {"source": None}, **{**settings, **sweep})
        scheduler = build_scheduler("promotion", Direction.MAX, {}, plain.study.values_by_progress(TrialState.RUNNING))
        searcher = StudySearcher(plain.plan, plain.study, plain.budget, Slots(2), scheduler=scheduler)
        return searcher, scheduler

    return open_


def to_comparison(
    searcher: StudySearcher, scheduler: TrialScheduler, name: str, value: float, share: float = 0.25
) -> int:
    """Begin or continue a trial up to a comparison point; return its number in the study."""
    config = searcher.suggest(name)
    assert isinstance(config, dict)
    number: int = config["key"]
    result = said(value, share)
    verdict = scheduler.on_trial_result(None, Trial("tiny", config=config, stub=True), result)
    if verdict == TrialScheduler.STOP:
        searcher.study.set_checkpoint(number, f"checkpoint of {number}")
        searcher.on_trial_complete(name, result)
    else:
        searcher.on_trial_result(name, result)
    return number


def test_a_paused_trial_continues_when_it_is_in_the_better_half(promoting: Promoting, tmp_path: Path) -> None:
    searcher, scheduler = promoting(trials=5)
    assert [to_comparison(searcher, scheduler, name, value) for name, value in (("a", 0.9), ("b", 0.8))] == [0, 1]
    assert [r.state for r in searcher.study.records] == [State.RUNNING, State.PAUSED]
    assert to_comparison(searcher, scheduler, "c", 0.1) == 2
    assert to_comparison(searcher, scheduler, "d", 0.2) == 3
    config = searcher.suggest("again")  # two of four pass
    assert isinstance(config, dict)
    assert (config["key"], config["resume"]) == (1, str(tmp_path / "checkpoint of 1"))
    assert searcher.study.record(1).state is State.RUNNING
    searcher.on_trial_complete("again", said(0.85, time_total_s=10))
    assert searcher.study.record(1).seconds == 15 + 10  # the time before the pause counts too
    searcher.on_trial_complete("a", said(0.9))
    run_all(searcher)
    assert [r.state for r in searcher.study.records] == [
        State.FINISHED,
        State.FINISHED,
        State.STOPPED,  # no later trial moved them into the better half
        State.STOPPED,
        State.FINISHED,
    ]
    assert set(states(tmp_path)) == {TrialState.COMPLETE, TrialState.PRUNED}


def test_at_most_keep_paused_trials_are_paused(promoting: Promoting) -> None:
    searcher, scheduler = promoting(trials=9, keep_paused=2)
    for name, value in zip("abcd", (0.9, 0.3, 0.1, 0.2), strict=True):
        to_comparison(searcher, scheduler, name, value)
    assert [r.state for r in searcher.study.records] == [State.RUNNING, State.PAUSED, State.STOPPED, State.PAUSED]


def test_a_paused_trial_continues_in_a_later_session(promoting: Promoting) -> None:
    first, scheduler = promoting(trials=4)
    for name, value in (("a", 0.9), ("b", 0.8), ("c", 0.1)):
        to_comparison(first, scheduler, name, value)
    second, later = promoting(trials=4)
    assert [r.state for r in second.study.records] == [State.RUNNING, State.PAUSED, State.PAUSED]
    assert second.suggest("a again")["key"] == 0  # it was running
    assert to_comparison(second, later, "d", 0.2) == 3
    assert second.suggest("b again")["key"] == 1


def test_a_search_ends_when_every_point_has_been_tried(open_searcher: Open, tmp_path: Path) -> None:
    """With two free slots no point is tried twice, and the repeats of the finalists follow."""
    sweep = {"trials": 10, "finalists": 1, "confirm_seeds": 1, "start_with": []}
    trial = {"target": {"dataset": {"csv": "a.csv"}, "padding_length": 16}, "source": None}
    searcher = open_searcher({"target.epochs": {"int": [1, 3]}}, trial, **sweep)
    configs = [searcher.suggest(name) for name in "abc"]
    assert sorted(config["trial"]["target"]["epochs"] for config in configs) == [1, 2, 3]
    assert searcher.suggest("d") is None
    for name in "abc":
        searcher.on_trial_complete(name, said(0.5))
    run_all(searcher)
    assert [r.role for r in searcher.study.records] == ["search"] * 3 + ["confirm"]
    outcome = summarise(searcher.plan, tmp_path, searcher.study, complete=True)
    assert outcome.notes == ("every point of the space has been tried, in 3 of sweep.trials = 10 trials",)


def test_a_search_with_a_time_limit_ends_when_every_point_has_been_tried(open_searcher: Open, tmp_path: Path) -> None:
    sweep = {"trials": None, "minutes": 60, "confirm_seeds": 0, "start_with": []}
    trial = {"target": {"dataset": {"csv": "a.csv"}, "padding_length": 16}, "source": None}
    searcher = open_searcher({"target.epochs": {"int": [1, 30]}}, trial, **sweep)
    run_all(searcher)
    assert len(searcher.study.records) == 30  # more than the 20 of a search without a time limit
    outcome = summarise(searcher.plan, tmp_path, searcher.study, complete=True)
    assert outcome.notes == ("every point of the space has been tried, in 30 trials",)


@pytest.mark.parametrize(("refit", "has_folds", "again"), [(True, True, 1), (True, False, 0), (False, True, 0)])
def test_the_winner_trains_last_on_all_rows_once(
    open_searcher: Open, refit: bool, has_folds: bool, again: int, tmp_path: Path
) -> None:
    searcher = open_searcher(refit=refit, has_folds=has_folds)
    run_all(searcher, lambda key: 0.5 + 0.1 * (str(key)[0] == "0"))
    records = searcher.study.records
    refits = [record for record in records if record.role == "refit"]
    assert len(refits) == again
    assert all(record is records[-1] and (record.number, record.state) == (0, State.FINISHED) for record in refits)
    resumed = open_searcher(refit=refit, has_folds=has_folds)
    assert run_all(resumed) == []
    assert resumed.study.records == records


def test_a_run_on_all_rows_has_the_score_of_its_settings(open_searcher: Open) -> None:
    searcher = open_searcher(refit=True, trials=1, has_folds=True)
    while isinstance(config := searcher.suggest("a"), dict):
        report = TrialReport("target", fraction_done=1.0, finished=True, metrics={"target.train.loss": 0.1})
        is_refit = config["trial"]["target"]["fold"] is None
        result = flatten_dict(report.to_result() | {TIME_TOTAL_S: 1.0}) if is_refit else said(0.75)
        searcher.on_trial_complete("a", result)
    refit = searcher.study.records[-1]
    assert (refit.role, refit.value, refit.state) == ("refit", 0.75, State.FINISHED)


@pytest.mark.parametrize("has_folds", [True, False])
def test_the_labels_curve_comes_last_and_is_resumed(open_searcher: Open, has_folds: bool) -> None:
    """It can also be asked for when the sweep is complete."""
    asked = {"labels_curve": [8, 16], "labels_draws": 2}
    complete = open_searcher(refit=True, has_folds=has_folds)
    run_all(complete, lambda key: 0.5 + 0.1 * (str(key)[0] == "0"))
    before = complete.study.records
    first = open_searcher(refit=True, has_folds=has_folds, **asked)
    config = first.suggest("first")
    assert isinstance(config, dict)
    assert (config["trial"]["target"]["train_rows"], config["compare"]) == (8, False)
    second = open_searcher(refit=True, has_folds=has_folds, **asked)
    configs = run_all(second)
    assert configs[0] == config
    records = second.study.records
    assert records[: len(before)] == before
    assert [record.role for record in records[len(before) :]] == ["labels"] * 8
    found = [(c["trial"]["target"]["train_rows"], c["trial"]["target"]["draw"], c["trial"]["seed"]) for c in configs]
    assert sorted(found) == sorted(2 * [(rows, draw, draw) for rows in (8, 16) for draw in (1, 2)])
    curve = summarise(second.plan, Path(), second.study, complete=True).labels_curve
    assert curve is not None
    assert [(p.rows, len(p.with_source.values) if p.with_source else 0) for p in curve.points] == [(8, 2), (16, 2)]
