"""The best finalist wins, unless repeats cannot tell it from one that is cheaper to use."""

import copy
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from search.plan.plan import Plan, build_plan
from search.record.costs import CLEARLY, COSTS, MODEL_WEIGHTS, TEXT_GFLOPS, UseCost, excesses, meets
from search.record.records import State, TrialRecord
from search.study.finalists import certain_repeats, finalists, rank_finalists
from search.study.selection import next_repeats
from search.study.winner import Choice, choose_winner, within_margin


@dataclass(frozen=True)
class Finalist:
    scores: tuple[float, ...]
    """One for each seed."""
    cost: UseCost | None


same_plan = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=200)
costs = st.builds(UseCost, st.sampled_from((1.0, 1.05, 2.0, 4.0)), st.sampled_from((1e6, 1.05e6, 3e6)))
scores = st.lists(st.integers(0, 20).map(lambda n: n / 20), min_size=3, max_size=3).map(tuple)
some_finalists = st.lists(st.builds(Finalist, scores, st.none() | costs), min_size=1, max_size=4)


def _plan(blocks: dict[str, Any], **sweep: Any) -> Plan:
    changed = copy.deepcopy(blocks)
    del changed["space"]["source.enabled"]
    changed["sweep"] |= {"finalists": 4, "confirm_seeds": 2, "start_with": [], **sweep}
    return build_plan(changed, (), "test")


def _records(found: Sequence[Finalist]) -> list[TrialRecord]:
    params = {"target.learning_rate": 1e-3, "target.epochs": 1}
    return [
        TrialRecord(
            number,
            State.FINISHED,
            params,
            seed,
            "confirm" if seed else "search",
            value,
            {MODEL_WEIGHTS: each.cost.weights, TEXT_GFLOPS: each.cost.work} if each.cost else {},
        )
        for seed in range(len(found[0].scores))
        for number, each in enumerate(found)
        for value in each.scores[seed : seed + 1]
    ]


def _choose(plan: Plan, found: Sequence[Finalist], milliseconds: dict[int, float] | None = None) -> Choice:
    choice = choose_winner(plan, _records(found), milliseconds)
    assert choice is not None
    return choice


@same_plan
@given(some_finalists)
def test_a_cheaper_winner_is_within_one_standard_error_of_the_best(
    blocks: dict[str, Any], found: list[Finalist]
) -> None:
    choice = _choose(_plan(blocks), found)
    best, winner = found[choice.best.number], found[choice.winner.number]
    differences = [one - other for one, other in zip(best.scores, winner.scores, strict=True)]
    mean, error = statistics.fmean(differences), statistics.stdev(differences) / math.sqrt(len(differences))
    assert mean + 1e-12 >= 0
    assert mean <= error + 1e-12
    if winner is not best:
        assert best.cost
        assert winner.cost
        assert winner.cost.is_cheaper_than(best.cost)
        assert choice.passed_over
        assert choice.passed_over.number == choice.best.number
        assert choice.passed_over.difference == pytest.approx(mean, abs=1e-12)


@same_plan
@given(some_finalists, st.none() | costs)
def test_where_all_cost_the_same_or_nobody_knows_the_best_wins(
    blocks: dict[str, Any], found: list[Finalist], cost: UseCost | None
) -> None:
    plan = _plan(blocks)
    equal = [Finalist(each.scores, cost) for each in found]
    choice, records = _choose(plan, equal), _records(equal)
    assert choice.winner == choice.best == rank_finalists(records, records[: len(found)], plan.settings.direction)[0]
    assert choice.passed_over is None


@same_plan
@given(some_finalists)
def test_a_metric_whose_lowest_value_is_best_gives_the_same_choice(
    blocks: dict[str, Any], found: list[Finalist]
) -> None:
    mirrored = [Finalist(tuple(-score for score in each.scores), each.cost) for each in found]
    assert _choose(_plan(blocks), found).winner.number == _choose(_plan(blocks, metric="loss"), mirrored).winner.number


@given(costs, costs)
def test_of_two_models_at_most_one_is_cheaper(one: UseCost, other: UseCost) -> None:
    assert not (one.is_cheaper_than(other) and other.is_cheaper_than(one))
    assert not one.is_cheaper_than(one)
    if one.is_cheaper_than(other):
        assert one.work <= other.work
        assert min(one.work / other.work, one.weights / other.weights) <= CLEARLY


SHORT, LONG = UseCost(2.0, 1e6), UseCost(4.0, 1e6)


@pytest.mark.parametrize(
    ("best", "other", "winner"),
    [
        (Finalist((0.9, 0.8, 0.8), LONG), Finalist((0.8, 0.9, 0.79), SHORT), 1),
        (Finalist((0.9, 0.8, 0.8), LONG), Finalist((0.8, 0.7, 0.71), SHORT), 0),  # behind in each run
        (Finalist((0.9, 0.8, 0.8), SHORT), Finalist((0.8, 0.9, 0.79), LONG), 0),
        (Finalist((0.9,), LONG), Finalist((0.9,), SHORT), 1),  # one run each, and equal
        (Finalist((0.9,), LONG), Finalist((0.89,), SHORT), 0),
    ],
)
def test_examples(best: Finalist, other: Finalist, winner: int, blocks: dict[str, Any]) -> None:
    choice = _choose(_plan(blocks), [best, other])
    assert choice.best.number == 0
    assert choice.winner.number == winner
    assert (choice.passed_over is not None) == (winner == 1)


def test_the_sentence_says_who_was_passed_over_by_how_much_and_why(blocks: dict[str, Any]) -> None:
    found = [Finalist((0.9, 0.8, 0.8), LONG), Finalist((0.8, 0.9, 0.79), UseCost(4.0, 0.5e6))]
    passed_over = _choose(_plan(blocks), found).passed_over
    assert passed_over
    assert passed_over.sentence == (
        "Trial 1 is cheaper to use than trial 0, and these runs do not tell which is better: it has 50 % fewer "
        "weights, and its macro_f1 is 0.0033 worse (3 runs each, standard error 0.0578)."
    )
    equal = _choose(_plan(blocks), [Finalist((0.5, 0.7), LONG), Finalist((0.7, 0.5), SHORT)]).passed_over
    assert equal
    assert "it needs 50 % less work for a text, and its macro_f1 is equal (2 runs each" in equal.sentence


@same_plan
@given(some_finalists, st.sampled_from((0.0, 0.05, 0.3)))
def test_the_smallest_within_the_margin_wins_with_the_best_score_of_its_size(
    blocks: dict[str, Any], found: list[Finalist], margin: float
) -> None:
    plan = _plan(blocks, select={"within": margin, "prefer": "size"})
    choice, near = _choose(plan, found), {r.number for r in within_margin(plan, _records(found))}
    winner, sizes = found[choice.winner.number].cost, [found[number].cost for number in near]
    assert {choice.best.number, choice.winner.number} <= near
    if found[choice.best.number].cost is None:
        assert choice.winner == choice.best
    else:
        assert winner
        assert winner.weights == min(size.weights for size in sizes if size)


@same_plan
@given(some_finalists, st.lists(st.none() | st.sampled_from((1.0, 1.05, 2.0)), min_size=4, max_size=4))
def test_the_fastest_within_the_margin_wins_where_it_was_timed(
    blocks: dict[str, Any], found: list[Finalist], times: list[float | None]
) -> None:
    plan = _plan(blocks, select={"within": "10 %", "prefer": "latency"})
    timed = {number: milliseconds for number, milliseconds in enumerate(times[: len(found)]) if milliseconds}
    choice, near = _choose(plan, found, timed), [r.number for r in within_margin(plan, _records(found))]
    if choice.best.number not in timed:
        assert choice.winner == choice.best
    else:
        fast = [number for number in near if number in timed]
        assert timed[choice.winner.number] <= min(timed[number] for number in fast) / CLEARLY
        assert all(timed[n] > timed[choice.winner.number] for n in fast[: fast.index(choice.winner.number)])


def test_with_a_margin_the_sentence_names_it_and_the_measured_gain(blocks: dict[str, Any]) -> None:
    found = [Finalist((0.9, 0.8), UseCost(4.0, 3e6)), Finalist((0.88, 0.8), UseCost(4.0, 2e6))]
    for prefer, gain in (
        ("latency", "takes 5.5 ms for a text in place of 11 ms (a single text at a time)"),
        ("size", "has 2 million weights in place of 3 million"),
    ):
        plan = _plan(blocks, select={"within": 0.01, "prefer": prefer})
        choice = _choose(plan, found, {0: 11.0, 1: 5.5})
        assert choice.passed_over
        assert choice.passed_over.sentence == (
            f"Trial 1 won in place of trial 0, which has the best macro_f1: it {gain}, and its score is 0.0100 worse "
            "(2 runs each, standard error 0.0100), within sweep.select.within = 0.01."
        )


@pytest.mark.parametrize(("within", "added"), [(0.01, []), (0.12, [3]), (0.2, [4])])
def test_the_cheapest_trial_within_the_margin_is_a_finalist(
    within: float, added: list[int], blocks: dict[str, Any]
) -> None:
    works = (4.0, 4.0, 4.0, 2.0, 1.0)
    found = [Finalist((0.9 - number / 25,), UseCost(work, 1e6)) for number, work in enumerate(works)]
    plan = _plan(blocks, finalists=2, select={"within": within, "prefer": "latency"})
    assert [record.number for record in finalists(plan, _records(found))] == [0, 1, *added]
    repeats = [(repeat.number, repeat.seed) for repeat in next_repeats(plan, _records(found))]
    assert repeats == [(number, seed) for number in (0, 1, *added) for seed in (1, 2)]
    assert len(repeats) <= plan.repeats


@same_plan
@given(some_finalists, st.sampled_from((0.5, 1.0, 2.0)))
def test_only_trials_within_the_limits_are_finalists(
    blocks: dict[str, Any], found: list[Finalist], limit: float
) -> None:
    plan = _plan(blocks, constraints=[f"text_gflops <= {limit}"])
    records = _records(found)
    allowed = [number for number, each in enumerate(found) if each.cost and each.cost.work <= limit]
    assert sorted(record.number for record in finalists(plan, records)) == allowed
    choice = choose_winner(plan, records)
    assert (choice is None) == (not allowed)
    assert choice is None or choice.winner.number in allowed


@given(
    st.dictionaries(st.sampled_from(list(COSTS)), st.floats(0, 10)),
    st.dictionaries(st.sampled_from(list(COSTS)), st.floats(0, 10)),
)
def test_a_trial_meets_limits_if_each_cost_is_known_and_not_above(
    costs: dict[str, float], limits: dict[str, float]
) -> None:
    metrics = {COSTS[name]: cost for name, cost in costs.items()}
    assert meets(metrics, limits) == all(name in costs and costs[name] <= limit for name, limit in limits.items())
    above = {name for name, excess in excesses(metrics, limits).items() if excess > 0}
    assert above == {name for name in costs.keys() & limits.keys() if costs[name] > limits[name]}


def test_a_repeat_is_certain_only_if_no_running_trial_may_meet_the_limits(blocks: dict[str, Any]) -> None:
    plan = _plan(blocks, finalists=1, constraints=["text_gflops <= 2"])
    records = _records([Finalist((0.9,), SHORT)])
    for metrics, certain in (({}, []), ({TEXT_GFLOPS: 2.0}, []), ({TEXT_GFLOPS: 3.0}, [0, 0])):
        running = TrialRecord(1, State.RUNNING, records[0].params, 0, metrics=metrics)
        assert [repeat.number for repeat in certain_repeats(plan, [*records, running])] == certain
