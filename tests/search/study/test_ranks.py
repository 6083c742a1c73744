from pathlib import Path
from typing import Any

from search.plan.plan import build_plan
from search.record.records import State, TrialRecord
from search.record.trial_names import Role
from search.study.ranks import finalist_numbers, rank_trials


def trial(number: int, value: float, seed: int = 0, role: Role = "search", on: bool = True) -> TrialRecord:
    state = State.STOPPED if number == 3 else State.FINISHED
    return TrialRecord(number, state, {"source.enabled": on}, seed, role, value)


def test_the_winner_by_its_mean_comes_first_and_repeats_follow_their_trial(blocks: dict[str, Any]) -> None:
    blocks["sweep"] |= {"finalists": 2}
    plan = build_plan(blocks, (Path(),), "tiny")
    search = [trial(0, 0.9), trial(1, 0.8), trial(2, 0.7, on=False), trial(3, 0.6), trial(4, 0.65)]
    repeats = [trial(n, value, 1, "confirm") for n, value in ((0, 0.5), (1, 0.75), (2, 0.6))]
    records = [*search, *repeats]
    assert finalist_numbers(plan, records) == {0, 1, 2}  # the best without a source, too
    ranks = {1: 1, "1.seed-1": 1.01, 0: 2, "0.seed-1": 2.01, 2: 3, "2.seed-1": 3.01, 4: 4, 3: 5}
    assert rank_trials(plan, records) == ranks
    assert list(rank_trials(plan, records)) == list(ranks)
    cheaper = rank_trials(plan, records, winner=2)  # won with a lower score
    assert list(cheaper) == [2, "2.seed-1", 1, "1.seed-1", 0, "0.seed-1", 4, 3]


def test_without_a_score_every_trial_still_has_a_rank(blocks: dict[str, Any]) -> None:
    failed = TrialRecord(0, State.FAILED, {}, 0)
    assert rank_trials(build_plan(blocks, (Path(),), "tiny"), [failed]) == {0: 1}
