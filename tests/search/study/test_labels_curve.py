"""Trials and points of the labels curve from records made by hand."""

import copy
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.errors import PlanError
from search.plan.plan import Plan, build_plan
from search.record.labels_curve import Estimate, LabelsPoint, how_many_rows
from search.record.records import State, TrialRecord
from search.study.finalists import Repeat
from search.study.labels_curve import (
    labels_curve,
    labels_notes,
    labels_trials,
    missing_labels_trials,
    most_labels_trials,
)
from search.study.selection import as_record, best_finalist, compare_sources, repeat_config, score_of
from trainable.metrics.metric import Direction

PARAMS = {"source.enabled": True, "target.learning_rate": 1e-3, "target.epochs": 1}
SEARCHED = [
    TrialRecord(0, State.FINISHED, PARAMS, 0, value=0.9),
    TrialRecord(1, State.FINISHED, PARAMS | {"source.enabled": False, "target.epochs": 3}, 0, value=0.8),
]


def make_plan(blocks: dict[str, Any], **sweep: Any) -> Plan:
    changed = copy.deepcopy(blocks)
    settings = {"confirm_seeds": 0, "start_with": [], "labels_curve": [32, 16], "labels_draws": 2}
    changed["sweep"] |= settings | sweep
    return build_plan(changed, (), "test")


@pytest.fixture
def plan(blocks: dict[str, Any]) -> Plan:
    return make_plan(blocks)


def ended(trial: Repeat, value: float) -> TrialRecord:
    return replace(as_record(trial), state=State.FINISHED, value=value)


def test_the_best_of_each_kind_trains_on_every_number_and_draw_of_rows(plan: Plan) -> None:
    trials = labels_trials(plan, SEARCHED)
    assert len(trials) == most_labels_trials(plan) == 8
    configs = [repeat_config(plan, trial) for trial in trials]
    found = [(c.target.train_rows, c.target.draw, c.seed, bool(c.source_stages()), c.target.epochs) for c in configs]
    assert found == [
        (rows, draw, draw, source, 1 if source else 3)
        for draw in (1, 2)
        for rows in (16, 32)
        for source in (True, False)
    ]
    assert len({trial.key for trial in trials}) == 8
    assert as_record(trials[0]).title == "trial 0 on 16 rows, seed 1"


def test_without_a_trial_without_source_the_winner_runs_without_its_source(plan: Plan) -> None:
    trials = labels_trials(plan, SEARCHED[:1])
    assert [bool(repeat_config(plan, trial).source_stages()) for trial in trials[:2]] == [True, False]
    assert [trial.key for trial in trials[:2]] == ["0.16-rows.seed-1", "0.16-rows-without-its-source.seed-1"]


def test_without_a_source_the_curve_has_one_kind(blocks: dict[str, Any]) -> None:
    del blocks["space"]["source.enabled"], blocks["trial"]["source"]
    plan = make_plan(blocks)
    params = {name: value for name, value in PARAMS.items() if name != "source.enabled"}
    trials = labels_trials(plan, [replace(SEARCHED[0], params=params)])
    assert len(trials) == most_labels_trials(plan) == 4
    curve = labels_curve(plan, [replace(SEARCHED[0], params=params), *(ended(trial, 0.5) for trial in trials)])
    assert curve is not None
    assert [(p.rows, p.with_source, p.difference, p.without_source is None) for p in curve.points] == [
        (16, None, None, False),
        (32, None, None, False),
    ]
    assert curve.sentence == ""


def test_rows_of_each_class_and_folds(blocks: dict[str, Any]) -> None:
    """With folds the trials of the curve have the data set's own validation rows, and a seed for each draw."""
    plan = replace(make_plan(blocks, labels_curve=[{"per_class": 4}], confirm_seeds=2), held_out_rows=100)
    config = repeat_config(plan, labels_trials(plan, SEARCHED)[0])
    assert config.to_flat()["target.train_rows"] == {"per_class": 4}
    assert (config.target.fold, config.target.draw, config.seed) == (0, 1, 1)


def test_points_have_means_intervals_and_differences_of_the_same_draws(plan: Plan) -> None:
    values = {(16, True): (0.7, 0.8), (32, True): (0.9, 0.8), (16, False): (0.3, 0.6), (32, False): (0.5, 0.7)}
    trials = labels_trials(plan, SEARCHED)
    runs = []
    for trial in trials:
        config = repeat_config(plan, trial)
        of_draws = values[int(str(config.target.train_rows)), bool(config.source_stages())]
        runs.append(ended(trial, of_draws[config.seed - 1]))
    curve = labels_curve(plan, [*SEARCHED, *runs])
    assert curve is not None
    assert (curve.with_source, curve.without_source, curve.draws, curve.per_class) == (0, 1, 2, False)
    first, second = curve.points
    assert (first.rows, second.rows) == (16, 32)
    assert first.with_source and first.with_source.values == (0.7, 0.8)
    assert first.difference and first.difference.values == pytest.approx((0.4, 0.2))
    assert first.difference.low is not None
    assert first.difference.low < 0 < 0.3 < (first.difference.high or 0)
    assert curve.sentence == (
        "Without the source, 32 training rows give a mean macro_f1 of 0.6000. With it, 16 are enough for that."
    )
    half = labels_curve(plan, [*SEARCHED, *runs[:3]])
    assert half is not None
    assert half.points[1].without_source is None
    assert half.points[1].difference is None


def test_trials_of_the_curve_decide_nothing_else(plan: Plan) -> None:
    trials = [ended(trial, 1.0) for trial in labels_trials(plan, SEARCHED)]
    records = [*SEARCHED, *trials]
    assert best_finalist(plan, records) is records[0]
    assert score_of(records, 0) == score_of(SEARCHED, 0)
    assert compare_sources(plan, records) == compare_sources(plan, SEARCHED)


def test_the_curve_waits_for_the_winner_and_begins_no_trial_twice(plan: Plan) -> None:
    running = replace(SEARCHED[0], role="confirm", seed=1, state=State.RUNNING)
    assert missing_labels_trials(plan, [*SEARCHED, running]) == []
    trials = missing_labels_trials(plan, SEARCHED)
    begun = [as_record(trials[0]), ended(trials[1], 0.5)]
    assert missing_labels_trials(plan, [*SEARCHED, *begun]) == trials[2:]
    assert labels_notes(plan, [*SEARCHED, *begun])[0].startswith("the labels curve lacks 6 of its 8 trials")
    assert labels_notes(plan, [*SEARCHED, *(ended(trial, 0.5) for trial in trials)]) == []
    assert labels_curve(plan, SEARCHED) is None
    assert labels_trials(plan, []) == []


@pytest.mark.parametrize(
    ("sweep", "target", "problem"),
    [
        ({"labels_curve": [16, {"per_class": 4}]}, {}, "sweep.labels_curve: has numbers of all rows and of rows of"),
        ({"labels_curve": [1]}, {}, "sweep.labels_curve[0]: "),
        ({"labels_curve": [{"per_class": 4}]}, {"task": "regression"}, "sweep.labels_curve: {per_class: N} needs one"),
    ],
)
def test_wrong_numbers_are_reported(
    blocks: dict[str, Any], sweep: dict[str, Any], target: dict[str, Any], problem: str
) -> None:
    blocks["trial"]["target"]["dataset"] |= target
    with pytest.raises(PlanError) as error:
        make_plan(blocks, **sweep)
    assert any(problem in sentence for sentence in error.value.problems), error.value.problems


VALUES = st.lists(st.integers(0, 100).map(lambda n: n / 100), min_size=1, max_size=6)


@given(VALUES)
def test_the_interval_contains_the_mean_and_needs_a_spread(values: list[float]) -> None:
    estimate = Estimate.over(values)
    assert estimate is not None
    if len(set(values)) == 1:
        assert estimate.low is estimate.high is None
    else:
        assert estimate.low is not None
        assert estimate.high is not None
        assert estimate.low < estimate.mean < estimate.high
    assert Estimate.over([]) is None


@given(st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=5), st.sampled_from(Direction))
def test_the_rows_that_are_enough_are_the_fewest_that_reach_the_score(
    columns: list[tuple[list[float], list[float]]], direction: Direction
) -> None:
    points = [
        LabelsPoint(8 * 2**i, Estimate.over(given), Estimate.over(without), None)
        for i, (given, without) in enumerate(columns)
    ]
    sentence = how_many_rows(points, "score", direction, per_class=False)
    wanted = points[-1].without_source
    assert wanted
    reach = [
        p.rows for p in points if p.with_source and direction.cost(p.with_source.mean) <= direction.cost(wanted.mean)
    ]
    assert f"{points[-1].rows} training rows give" in sentence
    assert ("none of these numbers" in sentence) is (reach == [])
    assert ("fewer are not enough" in sentence) is (reach == [points[-1].rows])
    if reach and reach[0] < points[-1].rows:
        assert f"With it, {reach[0]} are enough" in sentence
