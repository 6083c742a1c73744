"""Finalists, winner and comparison from records made by hand."""

import copy
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from search.plan.plan import Plan, build_plan
from search.record.records import Score, State, TrialRecord
from search.record.trial_names import Role
from search.study.finalists import certain_repeats, finalists, missing_repeats
from search.study.selection import (
    best_finalist,
    compare_sources,
    mean_cut,
    next_repeats,
    pick_exported_trial,
    refit_of,
    repeat_config,
    score_of,
    worth_of_stages,
)
from search.study.trial_settings import trial_config, uses_source

FINISHED = State.FINISHED


@pytest.fixture
def plan(blocks: dict[str, Any]) -> Plan:
    return _plan(blocks)


def _plan(blocks: dict[str, Any], **sweep: Any) -> Plan:
    changed = copy.deepcopy(blocks)
    changed["sweep"] |= {"finalists": 2, "confirm_seeds": 1, "start_with": [], **sweep}
    return build_plan(changed, (), "test")


def fixed_source(blocks: dict[str, Any]) -> Plan:
    del blocks["space"]["source.enabled"]
    return _plan(blocks)


def without_source(blocks: dict[str, Any]) -> Plan:
    del blocks["space"]["source.enabled"], blocks["trial"]["source"]
    return _plan(blocks)


def record(
    number: int,
    value: float | None,
    source: bool | None = True,
    state: State = FINISHED,
    role: Role = "search",
    seed: int = 0,
) -> TrialRecord:
    params = {"target.learning_rate": 1e-3, "target.epochs": 1}
    params |= {} if source is None else {"source.enabled": source}
    return TrialRecord(number, state, params, seed, role, value)


def test_finalists_are_the_best_of_the_finished_search_trials(blocks: dict[str, Any]) -> None:
    plan = fixed_source(blocks)
    records = [
        record(0, 0.5, None),
        record(1, 0.9, None, State.STOPPED),
        record(2, 0.7, None),
        record(3, None, None, State.FAILED),
        record(4, 0.6, None),
        record(0, 0.95, None, role="confirm", seed=1),
        record(6, 0.8, None, State.RUNNING),
    ]
    assert [r.number for r in finalists(plan, records)] == [2, 4]


def test_a_stopped_trial_with_the_best_model_wins_until_it_has_run_again(blocks: dict[str, Any]) -> None:
    plan = fixed_source(blocks)
    stopped = replace(record(1, 0.9, None, State.STOPPED), model_saved=True)
    records = [record(0, 0.5, None), stopped, record(2, 0.7, None)]
    assert [r.number for r in finalists(plan, records)] == [2, 0, 1]
    winner = best_finalist(plan, records)
    assert winner is stopped
    assert pick_exported_trial(plan, records, winner) is stopped
    assert [(r.number, r.seed) for r in next_repeats(plan, records)] == [(2, 1), (0, 1), (1, 0), (1, 1)]
    again = [record(1, value, None, role="confirm", seed=seed) for seed, value in enumerate((0.92, 0.3))]
    again.append(record(2, 0.65, None, role="confirm", seed=1))
    assert score_of([*records, *again], 1) == Score.over([0.92, 0.3])
    assert best_finalist(plan, [*records, *again]) is records[2]


def test_a_trial_that_was_stopped_is_not_compared_with_one_that_ran_to_its_end(plan: Plan) -> None:
    stopped = replace(record(1, 0.9, False, State.STOPPED), model_saved=True)
    assert compare_sources(plan, [record(0, 0.5), stopped]) is None


def test_the_lowest_loss_is_best(blocks: dict[str, Any]) -> None:
    del blocks["space"]["source.enabled"]
    plan = _plan(blocks, metric="loss")
    records = [record(n, value, None) for n, value in enumerate((0.5, 0.2, 0.3))]
    assert [r.number for r in finalists(plan, records)] == [1, 2]
    winner = best_finalist(plan, records)
    assert winner is not None
    assert winner.number == 1


ENDS = st.tuples(
    st.sampled_from([State.FINISHED, State.STOPPED, State.FAILED]), st.floats(0, 1), st.booleans(), st.booleans()
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    ends=st.lists(ENDS, min_size=1, max_size=7), open_=st.integers(0, 3), metric=st.sampled_from(["loss", "macro_f1"])
)
def test_repeats_that_are_certain_follow_however_the_running_trials_end(
    blocks: dict[str, Any], ends: list[tuple[State, float, bool, bool]], open_: int, metric: str
) -> None:
    plan = _plan(blocks, metric=metric)
    ended = [
        replace(record(n, None if state is State.FAILED else value, source, state), model_saved=saves)
        for n, (state, value, source, saves) in enumerate(ends)
    ]
    running = [replace(r, state=State.RUNNING) for r in ended[-open_:] if open_]
    certain = certain_repeats(plan, [*ended[: len(ended) - len(running)], *running])
    keys = [repeat.key for repeat in missing_repeats(plan, ended)]
    assert all(repeat.key in keys for repeat in certain)
    if not running:
        assert [repeat.key for repeat in certain] == keys


def test_if_the_source_is_searched_both_kinds_are_finalists(plan: Plan) -> None:
    records = [record(0, 0.9), record(1, 0.8), record(2, 0.3, source=False), record(3, 0.2, source=False)]
    assert [r.number for r in finalists(plan, records)] == [0, 1, 2]


def test_a_kind_without_a_finished_trial_has_its_best_stopped_trial_as_finalist(plan: Plan) -> None:
    """The scheduler stopped every trial with a source: the best of them runs to its end with every seed."""
    records = [
        record(0, 0.9, source=False),
        record(1, 0.5, state=State.STOPPED),
        record(2, 0.6, state=State.STOPPED),
        record(3, 0.4, source=False),
    ]
    assert [r.number for r in finalists(plan, records)] == [0, 3, 2]
    again = next_repeats(plan, records)
    assert [(a.number, a.seed) for a in again] == [(0, 1), (3, 1), (2, 0), (2, 1)]
    records += [record(a.number, 0.7, a.params.get("source.enabled"), FINISHED, a.role, a.seed) for a in again]
    assert next_repeats(plan, records) == []
    winner = best_finalist(plan, records)
    assert winner is not None
    assert winner.number == 0
    found = compare_sources(plan, records)
    assert found is not None
    assert (found.with_source.values, found.without_source.values) == ((0.7, 0.7), (0.9, 0.7))


def test_the_best_of_a_kind_is_a_finalist_even_if_only_another_finished(plan: Plan) -> None:
    """The better of two trials without a source was stopped, because trials with a source were better still."""
    records = [
        record(0, 0.9),
        record(1, 0.4, source=False),
        record(2, 0.8, source=False, state=State.STOPPED),
        record(3, 0.7, state=State.STOPPED),
        record(4, 0.6),
    ]
    assert [r.number for r in finalists(plan, records)] == [0, 4, 2]
    assert [(a.number, a.seed) for a in next_repeats(plan, records)] == [(0, 1), (4, 1), (2, 0), (2, 1)]


def test_the_winner_is_chosen_by_the_mean_over_seeds_and_its_best_run_is_exported(plan: Plan) -> None:
    records = [
        record(0, 0.9),
        record(1, 0.8),
        record(2, 0.1, source=False),
        record(0, 0.5, role="confirm", seed=1),
        record(1, 0.86, role="confirm", seed=1),
    ]
    winner = best_finalist(plan, records)
    assert winner is not None
    assert winner.number == 1
    assert pick_exported_trial(plan, records, winner).title == "trial 1, seed 1"
    score = score_of(records, 1)
    assert score is not None
    assert score.mean == pytest.approx(0.83)
    assert score.values == (0.8, 0.86)


def test_the_earlier_of_two_equals_wins_and_none_if_no_trial_finished(plan: Plan) -> None:
    winner = best_finalist(plan, [record(0, 0.5, source=False), record(1, 0.5)])
    assert winner is not None
    assert winner.number == 0
    assert best_finalist(plan, [record(0, 0.5, state=State.STOPPED)]) is None
    assert compare_sources(plan, [record(0, None, state=State.FAILED)]) is None


def test_a_repeat_that_did_not_finish_is_ignored_and_not_run_again(blocks: dict[str, Any]) -> None:
    plan = without_source(blocks)
    records = [record(0, 0.5, None), record(0, 0.1, None, State.FAILED, "confirm", 1)]
    score = score_of(records, 0)
    assert score is not None
    assert score.values == (0.5,)
    assert next_repeats(plan, records) == []


def test_without_a_source_there_is_nothing_to_compare(blocks: dict[str, Any]) -> None:
    plan = without_source(blocks)
    records = [record(0, 0.5, None), record(0, 0.4, None, role="confirm", seed=1)]
    assert not uses_source(plan, records[0])
    assert next_repeats(plan, records) == []
    assert compare_sources(plan, records) is None


def test_a_fixed_source_is_compared_with_the_winner_without_a_source(blocks: dict[str, Any]) -> None:
    plan = fixed_source(blocks)
    records = [
        record(0, 0.9, None),
        record(0, 0.7, None, role="confirm", seed=1),
    ]
    twins = next_repeats(plan, records)
    assert [(a.role, a.number, a.seed) for a in twins] == [("no_source", 0, 0), ("no_source", 0, 1)]
    assert compare_sources(plan, records) is None
    records += [record(0, 0.5 + i / 10, None, role="no_source", seed=i) for i in (0, 1)]
    assert not uses_source(plan, records[2])
    assert trial_config(plan, records[3]).seed == 1
    assert next_repeats(plan, records) == []
    found = compare_sources(plan, records)
    assert found is not None
    assert found.with_source.values == (0.9, 0.7)
    assert found.without_source.values == (0.5, 0.6)
    assert found.difference == pytest.approx(0.25)
    assert "films" in found.source


def test_a_searched_source_is_compared_by_the_best_finalist_of_either_kind(plan: Plan) -> None:
    records = [
        record(0, 0.9, source=False),
        record(1, 0.8),
        record(0, 0.7, source=False, role="confirm", seed=1),
        record(1, 0.6, role="confirm", seed=1),
    ]
    assert next_repeats(plan, records) == []
    found = compare_sources(plan, records)
    assert found is not None
    assert (found.with_source.values, found.without_source.values) == ((0.8, 0.6), (0.9, 0.7))
    assert found.difference == pytest.approx(-0.1)


def chain_record(number: int, value: float, first: bool, second: bool, seed: int = 0) -> TrialRecord:
    params = {"sources.first.enabled": first, "sources.second.enabled": second, "target.learning_rate": 1e-3}
    role: Role = "confirm" if seed else "search"
    return TrialRecord(number, FINISHED, params | {"target.epochs": 1}, seed, role, value)


def test_the_worth_of_each_stage_of_a_chain_comes_from_repeats_of_the_best_with_it_and_without(
    blocks: dict[str, Any],
) -> None:
    stage = blocks["trial"].pop("source")
    del blocks["space"]["source.enabled"]
    blocks["trial"]["sources"] = {"first": stage, "second": stage}
    blocks["space"] |= {f"sources.{name}.enabled": {"choice": [True, False]} for name in ("first", "second")}
    plan = _plan(blocks, finalists=1, confirm_seeds=2)
    switches = [(True, True), (True, False), (False, True), (False, False)]
    records = [chain_record(n, 0.9 - 0.1 * n, *each) for n, each in enumerate(switches)]
    assert [r.number for r in finalists(plan, records)] == [0, 3, 2, 1]  # the best; without any, the first, the second
    assert len(missing_repeats(plan, records)) == 8 < plan.repeats
    repeats = [
        chain_record(n, 0.9 - 0.1 * n + 0.01 * seed, *each, seed) for n, each in enumerate(switches) for seed in (1, 2)
    ]
    first, second = worth_of_stages(plan, [*records, *repeats])
    assert first.startswith("The source 'sources.first' helped: macro_f1 0.9100 with it, 0.7100 without (+0.2000, 95 %")
    assert second.startswith("The source 'sources.second' helped: macro_f1 0.9100 with it, 0.8100 without (+0.1000")
    assert "3 seeds each" in first


def test_a_search_without_a_trial_without_source_repeats_the_winner_without_it(plan: Plan) -> None:
    records = [record(0, 0.9), record(0, 0.8, role="confirm", seed=1)]
    twins = next_repeats(plan, records)
    assert [(a.role, a.seed, a.params["source.enabled"]) for a in twins] == [
        ("no_source", 0, False),
        ("no_source", 1, False),
    ]


def test_no_comparison_begins_while_a_repeat_runs(plan: Plan) -> None:
    records = [record(0, 0.9), record(0, 0.5, state=State.RUNNING, role="confirm", seed=1)]
    assert next_repeats(plan, records) == []


def test_each_further_seed_has_a_fold_of_its_own_and_the_refit_none(blocks: dict[str, Any]) -> None:
    plan = replace(_plan(blocks, confirm_seeds=2), held_out_rows=100)
    records = [record(0, 0.8)]
    configs = [repeat_config(plan, repeat) for repeat in next_repeats(plan, records)]
    assert [(config.target.fold, config.seed) for config in configs] == [(1, 0), (2, 0)]
    assert trial_config(plan, records[0]).target.fold == 0
    assert repeat_config(plan, refit_of(records[0])).target.fold is None
    for without in (replace(plan, held_out_rows=0), _plan(blocks, confirm_seeds=2, cross_validate=False)):
        configs = [repeat_config(without, repeat) for repeat in next_repeats(without, records)]
        assert [(config.target.fold, config.seed) for config in configs] == [(0, 1), (0, 2)]


def test_each_further_seed_has_a_draw_of_the_training_rows_of_its_own(blocks: dict[str, Any]) -> None:
    blocks["trial"]["target"]["train_rows"] = 16
    records = [record(0, 0.8)]
    for redraws, draws in ((True, [1, 2]), (False, [0, 0])):
        plan = _plan(blocks, confirm_seeds=2, redraw_rows=redraws)
        configs = [repeat_config(plan, repeat) for repeat in next_repeats(plan, records)]
        assert [(config.target.draw, config.seed) for config in configs] == [(draws[0], 1), (draws[1], 2)]
        assert trial_config(plan, records[0]).target.draw == 0
        repeated = [*records, *(record(0, 0.7 + i / 100, role="confirm", seed=i) for i in (1, 2))]
        repeated += [replace(r, params=r.params | {"source.enabled": False}, role="no_source") for r in repeated]
        without = [trial_config(plan, r).target.draw for r in repeated if r.role == "no_source"]
        assert without == [0, *draws]
        found = compare_sources(plan, repeated)
        assert found is not None
        assert ("3 draws of the training rows each" in found.sentence) is redraws


def test_the_run_on_all_rows_gets_the_threshold_of_the_runs_before(blocks: dict[str, Any]) -> None:
    plan = replace(_plan(blocks, confirm_seeds=2), held_out_rows=100)
    records = [
        replace(record(0, 0.6), metrics={"target.validation.cut": -1.0}),
        replace(record(0, 0.7, role="confirm", seed=1), metrics={"target.validation.cut": -2.0}),
    ]
    assert mean_cut(records, 0) == {"target.validation.cut": -1.5}
    assert mean_cut([record(0, 0.6)], 0) == {}
    refit = replace(record(0, 0.65, role="refit"), metrics=mean_cut(records, 0))
    assert trial_config(plan, refit).target.threshold == pytest.approx(0.182426)
    assert trial_config(plan, records[0]).target.threshold == "auto"


def test_the_model_on_all_rows_is_exported_and_decides_nothing(plan: Plan) -> None:
    records = [record(0, 0.6), record(1, 0.7), record(1, 0.9, role="confirm", seed=1)]
    before = score_of(records, 1)
    for state, exported in ((State.STOPPED, "1.seed-1"), (FINISHED, "1.all-rows.seed-0")):
        more = [*records, record(1, 0.1, state=state, role="refit")]
        winner = best_finalist(plan, more)
        assert winner is not None
        assert pick_exported_trial(plan, more, winner).key == exported
        assert score_of(more, 1) == before
        assert compare_sources(plan, more) == compare_sources(plan, records)


def test_with_few_held_out_rows_each_fold_halves_many_finalists(blocks: dict[str, Any]) -> None:
    del blocks["space"]["source.enabled"]
    plan = replace(_plan(blocks, finalists=None, confirm_seeds=3), held_out_rows=8)
    assert [plan.finalists_in(number) for number in (1, 2, 3)] == [8, 4, 2]
    values = {number: 1 - number / 100 for number in range(12)}  # the first is the best on the fold of the search
    records = [record(number, value, None) for number, value in values.items()]
    first = next_repeats(plan, records)
    assert [(r.number, r.seed) for r in first] == [(number, 1) for number in range(8)]
    half = [record(r.number, 0.1 * r.number, None, role="confirm", seed=1) for r in first[:4]]
    running = [record(r.number, None, None, State.RUNNING, "confirm", 1) for r in first[4:]]
    assert next_repeats(plan, [*records, *half, *running]) == []  # any of the others may be in the better half
    assert len(finalists(plan, [*records, *half, *running])) == 8
    records += [*half, *(record(r.number, 0.1 * r.number, None, role="confirm", seed=1) for r in first[4:])]
    second = next_repeats(plan, records)
    assert [(r.number, r.seed) for r in second] == [(7, 2), (6, 2), (5, 2), (4, 2)]
    records += [record(r.number, 0.5, None, State.FAILED if r.number == 7 else FINISHED, "confirm", 2) for r in second]
    assert [(r.number, r.seed) for r in next_repeats(plan, records)] == [(7, 3), (6, 3)]


def test_the_better_half_has_the_best_of_each_kind(blocks: dict[str, Any]) -> None:
    plan = replace(_plan(blocks, finalists=None, confirm_seeds=2), held_out_rows=50)
    assert [plan.finalists_in(number) for number in (1, 2)] == [4, 2]
    records = [record(number, 0.9 - number / 100, source=number < 5) for number in range(8)]
    records += [record(r.number, 0.5, r.number < 5, role="confirm", seed=1) for r in next_repeats(plan, records)]
    assert [r.number for r in finalists(plan, records)] == [0, 1, 5]


@pytest.mark.parametrize(("rows", "expected"), [(4, 8), (25, 8), (50, 4), (96, 2), (100, 2), (0, 2)])
def test_fewer_held_out_rows_give_more_finalists(blocks: dict[str, Any], rows: int, expected: int) -> None:
    assert replace(_plan(blocks, finalists=None), held_out_rows=rows).finalists_in(1) == expected
    assert replace(_plan(blocks, finalists=3), held_out_rows=rows).finalists_in(2) == 3


def test_finalists_are_compared_on_the_seeds_that_both_have_run(blocks: dict[str, Any]) -> None:
    """A lucky seed alone does not win against a mean over two."""
    plan = fixed_source(blocks)
    records = [record(0, 0.9, None), record(1, 0.8, None), record(0, 0.5, None, role="confirm", seed=1)]
    winner = best_finalist(plan, records)
    assert winner is records[0]
    records.append(record(1, 0.7, None, role="confirm", seed=1))
    assert best_finalist(plan, records) is records[1]


def test_of_two_equal_means_the_lower_loss_wins(blocks: dict[str, Any]) -> None:
    plan = fixed_source(blocks)
    records = [
        replace(record(number, 0.9, None), metrics={"target.validation.loss": loss})
        for number, loss in enumerate((0.5, 0.2))
    ]
    assert best_finalist(plan, records) is records[1]


@pytest.mark.parametrize(
    ("target", "refit", "rows", "expected"),
    [({}, True, 20, False), ({}, False, 20, None), ({}, True, 0, None), ({"patience": 2}, True, 20, None),
     ({"load_best_at_end": True}, True, 20, True)],
)  # fmt: skip
def test_trials_end_with_their_last_weights_where_a_refit_follows(
    blocks: dict[str, Any], target: dict[str, Any], refit: bool, rows: int, expected: bool | None
) -> None:
    blocks["trial"]["target"] |= target
    plan = replace(_plan(blocks, refit=refit), held_out_rows=rows)
    assert trial_config(plan, record(0, 0.8)).target.load_best_at_end is expected
