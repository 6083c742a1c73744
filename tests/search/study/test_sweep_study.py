"""The study on disk holds the same results for a later session and for plain Optuna."""

import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from search.plan.settings import SweepSettings
from search.propose.proposer import running_trial
from search.record.records import State
from search.study.finalists import Repeat
from search.study.sweep_study import EXHAUSTED, SweepStudy
from spaces import Space, parse_space
from trainable.workers.messages import TrialReport

SPACE = parse_space(
    {
        "source.enabled": {"choice": [True, False]},
        "source.epochs": {"int": [1, 2], "when": {"source.enabled": True}},
        "target.epochs": {"int": [1, 3]},
    }
)
CONTINUUM = parse_space(
    {
        "target.learning_rate": {"float": [1e-5, 1e-2], "log": True},
        "target.weight_decay": {"float": [0, 1]},
    }
)


@pytest.fixture
def open_study(tmp_path: Path) -> Callable[..., SweepStudy]:
    """Return a function that opens the same study again, as the sessions of a sweep do."""

    def open_(space: Space = SPACE, **settings: Any) -> SweepStudy:
        return SweepStudy(tmp_path / "study.db", SweepSettings(name="tiny", **settings), space, base_seed=5)

    return open_


def optuna_trials(folder: Path, name: str = "tiny") -> list[FrozenTrial]:
    """Return the trials as plain Optuna reads them."""
    return optuna.load_study(storage=f"sqlite:///{folder / 'study.db'}", study_name=name).trials


def begin_all(study: SweepStudy) -> list[dict[str, Any]]:
    """Begin trials until every point has been tried, and return their points."""
    return [record.params for record in iter(study.begin_search_trial, None)]


def report(study: SweepStudy, number: int, value: float, share: float) -> None:
    metrics = {"target.validation.macro_f1": value}
    study.report(number, TrialReport("target", value=value, metrics=metrics, improved=True, fraction_done=share))


def test_every_state_is_what_optuna_calls_it(open_study: Callable[..., SweepStudy], tmp_path: Path) -> None:
    study = open_study()
    for _ in range(4):
        study.begin_search_trial()
    report(study, 0, 0.5, 0.5)
    report(study, 0, 0.75, 1.0)
    study.end(0, State.FINISHED)
    report(study, 1, 0.25, 0.25)
    report(study, 1, 0.5, 0.5)
    study.end(1, State.STOPPED)
    study.end(2, State.FAILED, "the loss is nan")
    study.end(3, State.LOST, "its process died")

    trials = optuna_trials(tmp_path)
    assert [t.state for t in trials] == [TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL, TrialState.FAIL]
    assert trials[0].value == 0.75
    assert trials[1].intermediate_values == {25: 0.25, 50: 0.5}
    assert trials[2].value is None
    assert [t.user_attrs["facts"]["error"] for t in trials] == [None, None, "the loss is nan", "its process died"]

    again = open_study()
    assert again.records == study.records
    assert [r.state for r in again.records] == [State.FINISHED, State.STOPPED, State.FAILED, State.LOST]
    assert not again.running()


def test_the_best_value_counts_and_not_the_last(open_study: Callable[..., SweepStudy], tmp_path: Path) -> None:
    """A trial reports its best so far; a report without a gain leaves the metrics of the best in place."""
    study = open_study()
    study.begin_search_trial()
    report(study, 0, 0.75, 0.5)
    study.report(0, TrialReport("target", value=0.75, metrics={"target.validation.macro_f1": 0.1}, fraction_done=1.0))
    study.end(0, State.FINISHED)
    assert optuna_trials(tmp_path)[0].value == 0.75
    assert study.record(0).metrics == {"target.validation.macro_f1": 0.75}


def test_a_source_report_and_a_zero_shot_score_are_no_value(open_study: Callable[..., SweepStudy]) -> None:
    study = open_study()
    study.begin_search_trial()
    study.report(0, TrialReport("source", metrics={"source.validation.loss": 0.5}), seconds=2.0)
    study.report(0, TrialReport("target", metrics={"target.zero_shot.loss": 0.7}), seconds=1.0)
    record = study.record(0)
    assert record.value is None
    assert record.metrics == {"source.validation.loss": 0.5, "target.zero_shot.loss": 0.7}
    assert record.seconds == 2.0


def test_points_to_start_with_come_first_and_in_order(open_study: Callable[..., SweepStudy]) -> None:
    points = [
        {"source.enabled": False, "target.epochs": 3},
        {"source.enabled": True, "source.epochs": 2, "target.epochs": 1},
        {"target.epochs": 2},
    ]
    study = open_study(start_with=points)
    begun = [study.begin_search_trial().params for _ in points]
    assert begun[:2] == points[:2]
    assert begun[2]["target.epochs"] == 2
    assert begun[2] in SPACE


def test_points_to_start_with_continue_in_the_next_session(
    open_study: Callable[..., SweepStudy], tmp_path: Path
) -> None:
    points = [{"source.enabled": False, "target.epochs": n} for n in (3, 1, 2)]
    open_study(start_with=points).begin_search_trial()
    assert [open_study(start_with=points).begin_search_trial().params for _ in range(2)] == points[1:]
    assert {t.state for t in optuna_trials(tmp_path)} == {TrialState.RUNNING}


def test_a_trial_is_written_to_the_study_completely(open_study: Callable[..., SweepStudy], tmp_path: Path) -> None:
    """No point is queued and no value added later, so that a driver cannot die in between."""
    record = open_study(start_with=[{"source.enabled": False}]).begin_search_trial()
    assert record is not None
    (trial,) = optuna_trials(tmp_path)
    assert (trial.state, trial.params, trial.user_attrs["role"]) == (TrialState.RUNNING, record.params, "search")
    assert open_study().records == [record]


def test_settings_whose_condition_is_false_are_left_out(open_study: Callable[..., SweepStudy], tmp_path: Path) -> None:
    params = begin_all(open_study(sampler="random"))
    assert {p["source.enabled"] for p in params} == {True, False}
    assert all(("source.epochs" in p) is p["source.enabled"] for p in params)
    assert [t.params for t in optuna_trials(tmp_path)] == params


def test_a_grid_has_each_point_once_after_the_given_ones(open_study: Callable[..., SweepStudy]) -> None:
    given = [{"source.enabled": False, "target.epochs": 2}, {"source.enabled": False}]
    points = begin_all(open_study(sampler="grid", start_with=given))
    assert points[0] == given[0]
    assert points[1].items() >= given[1].items()
    assert points[2:] == [point for point in SPACE.grid() if point not in points[:2]]


@pytest.mark.parametrize(("sampler", "trials"), [("random", 3), ("qmc", 3), ("tpe", 10), ("gp", 10), ("cmaes", 4)])
def test_a_seed_decides_the_suggestions(sampler: Any, trials: int, tmp_path: Path) -> None:
    """`trials` is enough for each sampler to end its random start."""

    def suggestions(name: str, seed: int, trials: int) -> list[dict[str, Any]]:
        settings = SweepSettings(name="tiny", sampler=sampler, seed=seed, start_with=[])
        study = SweepStudy(tmp_path / f"{name}.db", settings, CONTINUUM, 0)
        for number in range(trials):
            study.begin_search_trial()
            report(study, number, number % 3 / 3, 1.0)
            study.end(number, State.FINISHED)
        return [record.params for record in study.records]

    first = suggestions("first", 1, trials)
    assert suggestions("same", 1, trials) == first
    assert suggestions("other", 2, 1) != first[:1]


def test_a_trial_of_an_earlier_session_ends_in_a_later_one(
    open_study: Callable[..., SweepStudy], tmp_path: Path
) -> None:
    first = open_study()
    first.begin_search_trial()
    report(first, 0, 0.25, 0.25)
    first.set_checkpoint(0, "somewhere")
    second = open_study()
    (record,) = second.running()
    assert (record.checkpoint, record.value, record.progress) == ("somewhere", 0.25, 0.25)
    report(second, 0, 0.5, 1.0)
    second.end(0, State.FINISHED)
    (trial,) = optuna_trials(tmp_path)
    assert trial.state is TrialState.COMPLETE
    assert trial.intermediate_values == {25: 0.25, 100: 0.5}


def test_a_repeat_keeps_its_role_and_seed(open_study: Callable[..., SweepStudy]) -> None:
    params = {"source.enabled": False, "target.epochs": 2}
    record = open_study().begin_repeat(Repeat("confirm", 7, 11, params))
    assert (record.params, record.role, record.number, record.seed) == (params, "confirm", 7, 11)
    on_rows = open_study().begin_repeat(Repeat("labels", 7, 11, params, {"target.train_rows": {"per_class": 4}}))
    assert on_rows.key == "7.4-rows-of-each-class.seed-11"
    assert open_study().records == [record, on_rows]
    assert open_study().begin_search_trial().seed == 5


def test_repeats_are_in_a_second_study(open_study: Callable[..., SweepStudy], tmp_path: Path) -> None:
    """So importances and history are of the search alone, also after the sweep is extended."""
    study = open_study()
    first = study.begin_search_trial()
    assert first is not None
    report(study, 0, 0.5, 1.0)
    study.end(0, State.FINISHED)
    for seed in (6, 7):
        again = study.begin_repeat(Repeat("confirm", 0, seed, first.params))
        study.report(again.key, TrialReport("target", value=0.9, improved=True, fraction_done=1.0))
    study.end("0.seed-6", State.FINISHED)
    extended = open_study()
    assert [record.title for record in extended.running()] == ["trial 0, seed 7"]
    extended.end("0.seed-7", State.STOPPED)
    second = extended.begin_search_trial()
    assert second is not None
    assert (second.number, second.key) == (1, 1)
    assert [record.key for record in extended.records] == [0, 1, "0.seed-6", "0.seed-7"]
    assert [(t.number, t.value) for t in optuna_trials(tmp_path)] == [(0, 0.5), (1, None)]
    assert [t.state for t in optuna_trials(tmp_path, "tiny: repeats")] == [TrialState.COMPLETE, TrialState.PRUNED]
    assert extended.values_by_progress(TrialState.COMPLETE, TrialState.PRUNED) == {0: {100: 0.5}}
    assert open_study().records == extended.records


def test_a_sweep_with_repeats_among_its_search_trials_continues(
    open_study: Callable[..., SweepStudy], tmp_path: Path
) -> None:
    """Older versions stored repeats in the search's study."""
    study = open_study()
    for number in (0, 1):
        study.begin_search_trial()
        report(study, number, 0.5 + number / 4, 1.0)
        study.end(number, State.FINISHED)
    old = optuna.load_study(storage=f"sqlite:///{tmp_path / 'study.db'}", study_name="tiny")
    for seed in (6, 7):
        trial = running_trial(SPACE, study.record(1).params)
        for name, value in {"role": "confirm", "of": 1, "seed": seed}.items():
            trial.set_user_attr(name, value)
        old.add_trial(trial)

    study = open_study()
    assert [record.key for record in study.records] == [0, 1, "1.seed-6", "1.seed-7"]
    study.end("1.seed-6", State.STOPPED)
    third = study.begin_search_trial()
    assert third is not None
    assert third.number == 4  # as Optuna counts
    study.begin_repeat(Repeat("no_source", 1, 5, third.params))
    assert [record.key for record in open_study().records] == [0, 1, 4, "1.seed-6", "1.seed-7", "1.no-source.seed-5"]
    assert len(optuna_trials(tmp_path)) == 5
    assert len(optuna_trials(tmp_path, "tiny: repeats")) == 1


def test_an_exhausted_space_is_stored(open_study: Callable[..., SweepStudy]) -> None:
    """Repeats do not count as tried points."""
    space = parse_space({"target.epochs": {"int": [1, 2]}})
    study = open_study(space)
    first = study.begin_search_trial()
    assert first is not None
    other = {"target.epochs": 3 - first.params["target.epochs"]}
    study.begin_repeat(Repeat("confirm", 0, 7, other))
    last = open_study(space).begin_search_trial()
    assert last is not None
    assert (last.number, last.params) == (1, other)
    assert open_study(space).user_attr(EXHAUSTED) is None
    assert open_study(space).begin_search_trial() is None
    assert open_study(space).user_attr(EXHAUSTED) == 2


def test_user_attributes_remain_in_the_next_session(open_study: Callable[..., SweepStudy]) -> None:
    study = open_study()
    assert study.user_attr("seconds_spent", 0.0) == 0.0
    study.set_user_attr("seconds_spent", 1.5)
    assert open_study().user_attr("seconds_spent") == 1.5


@pytest.mark.slow
def test_a_locked_study_is_waited_for(open_study: Callable[..., SweepStudy], tmp_path: Path) -> None:
    """For six seconds, longer than SQLite waits by default."""
    study = open_study()
    study.begin_search_trial()
    (file,) = tmp_path.glob("*.db")
    with closing(sqlite3.connect(file, check_same_thread=False)) as other:
        other.execute("BEGIN EXCLUSIVE")
        end = threading.Timer(6.0, other.rollback)
        end.start()
        report(study, 0, 0.5, 0.25)
        end.join()
    assert open_study().record(0).value == 0.5


def test_optuna_knows_the_constraints_of_ended_trials_and_the_sampler_learns_them(
    open_study: Callable[..., SweepStudy], tmp_path: Path
) -> None:
    study = open_study(CONTINUUM, constraints=["text_gflops <= 2"], start_with=[], sampler="tpe")
    for work, state in ((1.5, State.FINISHED), (3.0, State.STOPPED), (None, State.FAILED)):
        begun = study.begin_search_trial()
        assert begun
        if work:
            metrics = {"target.text_gflops": work}
            report = TrialReport("target", value=0.5, metrics=metrics, improved=True, fraction_done=0.5)
            study.report(begun.key, report)
        study.end(begun.key, state)
    assert study.begin_search_trial()
    expected = [{"text_gflops": -0.5}, {"text_gflops": 1.0}, {}, {}]
    assert [trial.constraints for trial in optuna_trials(tmp_path)] == expected
    in_memory = study._proposer._sampler_study._study
    assert in_memory
    assert [trial.constraints for trial in in_memory.trials] == expected
