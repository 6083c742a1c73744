"""Which trials pass a comparison point, at once or later, in whatever order they reach it."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler

from search.engine.schedule.promotion import CheckpointBeforePause, Promotion
from search.engine.schedule.schedulers import COMPARED_AT_PERCENT, build_scheduler
from trainable.metrics.metric import Direction
from trainable.workers.messages import KEY, TrialFailure, TrialReport


def trial(number: int) -> Trial:
    return Trial("tiny", config={KEY: number}, stub=True)


def report(promotion: Promotion, number: int, progress: float, value: float | None) -> str:
    said = TrialReport("target", percent_done=progress, value=value)
    return promotion.on_trial_result(None, trial(number), said.to_result())


def promotion_after(direction: str, history: dict[int, dict[int, float]]) -> Promotion:
    """The scheduler of a session that begins with these values."""
    scheduler = build_scheduler("promotion", direction, {}, history)
    assert isinstance(scheduler, Promotion)
    return scheduler


class Search:
    """A search in one slot: promoted trials run first, then new ones, until none is left."""

    def __init__(self, values: list[float]) -> None:
        self.values, self.promotion = values, promotion_after(Direction.MAX, {})
        self.passed: dict[int, list[int]] = {point: [] for point in COMPARED_AT_PERCENT}
        self.reached: dict[int, list[int]] = {point: [] for point in COMPARED_AT_PERCENT}
        self.paused: dict[int, int] = {}
        for number in range(len(values)):
            self.run(number, COMPARED_AT_PERCENT)
            while (up := self.promotion.most_promising(self.paused)) is not None:
                point = self.paused.pop(up)
                self.passed[point].append(up)
                self.run(up, [later for later in COMPARED_AT_PERCENT if later > point])

    def run(self, number: int, points: Any) -> None:
        for point in points:
            self.reached[point].append(number)
            if report(self.promotion, number, point, self.values[number]) == TrialScheduler.STOP:
                self.paused[number] = point
                return
            self.passed[point].append(number)


@given(values=st.lists(st.integers(0, 20).map(float), min_size=1, max_size=40))
def test_every_trial_of_the_better_half_passes(values: list[float]) -> None:
    search = Search(values)
    for point in COMPARED_AT_PERCENT:
        order = sorted(search.reached[point], key=lambda number: (-values[number], number))
        assert set(order[: max(1, len(order) // 2)]) <= set(search.passed[point])
    assert max(values) == max(values[number] for number in search.passed[COMPARED_AT_PERCENT[-1]])


@given(values=st.lists(st.integers(0, 20).map(float), min_size=1, max_size=30))
def test_a_later_session_makes_the_same_decisions(values: list[float]) -> None:
    search = Search(values)
    reached = {
        number: {point: values[number] for point in COMPARED_AT_PERCENT if number in search.reached[point]}
        for number in search.reached[25]
    }
    later = promotion_after(Direction.MAX, reached)
    numbers = range(len(values))
    assert [later.may_continue(n) for n in numbers] == [search.promotion.may_continue(n) for n in numbers]
    if search.paused:
        assert later.least_promising(search.paused) == search.promotion.least_promising(search.paused)


def test_only_the_first_score_at_a_point_counts() -> None:
    promotion = promotion_after(Direction.MIN, {})
    assert report(promotion, 0, 10.0, 0.9) == TrialScheduler.CONTINUE  # before the first point
    assert report(promotion, 0, 25.0, 0.5) == TrialScheduler.CONTINUE  # alone, it is the best
    assert report(promotion, 1, 25.0, None) == TrialScheduler.CONTINUE  # a heartbeat
    assert report(promotion, 1, 25.0, 0.6) == TrialScheduler.STOP
    assert report(promotion, 2, 25.0, 0.1) == TrialScheduler.CONTINUE
    assert report(promotion, 0, 33.3, 0.5) == TrialScheduler.CONTINUE  # it passed before, though it would not pass now
    assert promotion.most_promising([1]) is None
    report(promotion, 3, 25.0, 0.9)
    report(promotion, 4, 25.0, 0.9)
    report(promotion, 5, 25.0, 0.9)
    assert promotion.most_promising([1, 3, 4, 5]) == 1
    assert promotion.least_promising([1, 3, 4]) == 4


def test_the_trial_with_the_most_progress_continues_first() -> None:
    promotion = promotion_after(
        Direction.MAX, {0: {25: 0.1}, 1: {25: 0.9, 50: 0.9}, 2: {25: 0.8, 50: 0.8}, 3: {25: 0.9}}
    )
    assert not promotion.may_continue(2)
    promotion = promotion_after(Direction.MAX, {n: {25: 0.9} for n in range(4)} | {9: {25: 0.5, 50: 0.5}})
    assert promotion.most_promising([0, 1, 9]) == 9


def test_a_checkpoint_is_requested_if_a_trial_ends_early() -> None:
    def flagged(said: TrialReport | TrialFailure, done: bool) -> bool:
        result = said.to_result() | {"done": done}
        CheckpointBeforePause().on_trial_result(0, [], trial(0), result)
        return "should_checkpoint" in result

    assert flagged(TrialReport("target", value=0.5), done=True)
    assert not flagged(TrialReport("target", value=0.5), done=False)
    assert not flagged(TrialFailure("diverged"), done=True)
