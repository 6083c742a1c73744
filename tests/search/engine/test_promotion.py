"""Who passes a rung, at once or later, whatever the order in which trials come to it."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler

from search.engine.promotion import PausedWithCheckpoint, Promotion
from search.engine.schedulers import RUNGS, build_scheduler
from trainable.tasks.metrics import Direction
from trainable.workers.messages import KEY, TrialFailure, TrialReport


def trial(number: int) -> Trial:
    return Trial("tiny", config={KEY: number}, stub=True)


def report(promotion: Promotion, number: int, progress: float, value: float | None) -> str:
    said = TrialReport("target", progress=progress, value=value)
    return promotion.on_trial_result(None, trial(number), said.to_result())


def promotion_after(direction: str, history: dict[int, dict[int, float]]) -> Promotion:
    """The scheduler of a session that begins with these values."""
    scheduler = build_scheduler("promotion", direction, {}, history)
    assert isinstance(scheduler, Promotion)
    return scheduler


class Search:
    """One slot: what is promoted goes first, then a new trial, until neither is left."""

    def __init__(self, values: list[float]) -> None:
        self.values, self.promotion = values, promotion_after(Direction.MAX, {})
        self.passed: dict[int, list[int]] = {rung: [] for rung in RUNGS}
        self.came: dict[int, list[int]] = {rung: [] for rung in RUNGS}
        self.paused: dict[int, int] = {}
        for number in range(len(values)):
            self.run(number, RUNGS)
            while (up := self.promotion.most_promising(self.paused)) is not None:
                rung = self.paused.pop(up)
                self.passed[rung].append(up)
                self.run(up, [later for later in RUNGS if later > rung])

    def run(self, number: int, rungs: Any) -> None:
        for rung in rungs:
            self.came[rung].append(number)
            if report(self.promotion, number, rung, self.values[number]) == TrialScheduler.STOP:
                self.paused[number] = rung
                return
            self.passed[rung].append(number)


@given(values=st.lists(st.integers(0, 20).map(float), min_size=1, max_size=40))
def test_nobody_of_the_better_half_is_left_behind(values: list[float]) -> None:
    search = Search(values)
    for rung in RUNGS:
        order = sorted(search.came[rung], key=lambda number: (-values[number], number))
        assert set(order[: max(1, len(order) // 2)]) <= set(search.passed[rung])
    assert max(values) == max(values[number] for number in search.passed[RUNGS[-1]])


@given(values=st.lists(st.integers(0, 20).map(float), min_size=1, max_size=30))
def test_a_later_session_decides_as_this_one_would(values: list[float]) -> None:
    search = Search(values)
    reached = {
        number: {rung: values[number] for rung in RUNGS if number in search.came[rung]} for number in search.came[25]
    }
    later = promotion_after(Direction.MAX, reached)
    numbers = range(len(values))
    assert [later.goes_on(n) for n in numbers] == [search.promotion.goes_on(n) for n in numbers]
    if search.paused:
        assert later.least_promising(search.paused) == search.promotion.least_promising(search.paused)


def test_only_a_first_score_at_a_rung_is_judged() -> None:
    promotion = promotion_after(Direction.MIN, {})
    assert report(promotion, 0, 10.0, 0.9) == TrialScheduler.CONTINUE  # before the first rung
    assert report(promotion, 0, 25.0, 0.5) == TrialScheduler.CONTINUE  # alone, it is the best
    assert report(promotion, 1, 25.0, None) == TrialScheduler.CONTINUE  # a mere sign of life
    assert report(promotion, 1, 25.0, 0.6) == TrialScheduler.STOP
    assert report(promotion, 2, 25.0, 0.1) == TrialScheduler.CONTINUE
    assert report(promotion, 0, 33.3, 0.5) == TrialScheduler.CONTINUE  # it has passed, though it would not any more
    assert promotion.most_promising([1]) is None
    report(promotion, 3, 25.0, 0.9)
    report(promotion, 4, 25.0, 0.9)
    report(promotion, 5, 25.0, 0.9)
    assert promotion.most_promising([1, 3, 4, 5]) == 1
    assert promotion.least_promising([1, 3, 4]) == 4


def test_who_came_further_goes_on_first() -> None:
    promotion = promotion_after(
        Direction.MAX, {0: {25: 0.1}, 1: {25: 0.9, 50: 0.9}, 2: {25: 0.8, 50: 0.8}, 3: {25: 0.9}}
    )
    assert not promotion.goes_on(2)
    promotion = promotion_after(Direction.MAX, {n: {25: 0.9} for n in range(4)} | {9: {25: 0.5, 50: 0.5}})
    assert promotion.most_promising([0, 1, 9]) == 9


def test_a_checkpoint_is_asked_for_where_a_trial_ends_early() -> None:
    def flagged(said: TrialReport | TrialFailure, done: bool) -> bool:
        result = said.to_result() | {"done": done}
        PausedWithCheckpoint().on_trial_result(0, [], trial(0), result)
        return "should_checkpoint" in result

    assert flagged(TrialReport("target", value=0.5), done=True)
    assert not flagged(TrialReport("target", value=0.5), done=False)
    assert not flagged(TrialFailure("diverged"), done=True)
