"""Successive halving that pauses trials and promotes them later: ASHA as published.

Li et al., "A System for Massively Parallel Hyperparameter Tuning" (MLSys 2020), algorithm 2. Ray's own ASHA stops
trials instead. A good trial that it stops too early, while there are few others to compare with, is lost.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial
from ray.tune.result import DONE
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from search.cluster.ray_internals import ask_for_checkpoint
from trainable.metrics.metric import Direction
from trainable.workers.messages import TrialReport, key_of_task, read_result


class Promotion(FIFOScheduler):
    """Lets a trial pass a comparison point if it is, now or later, in the better half of the trials that reached it.

    A trial that must wait ends for Tune. `StudySearcher._pause` stores it as paused. It continues later as a new Tune
    trial. The searcher decides which trials continue and when. `CheckpointBeforePause` gives them a checkpoint to
    continue from.

    Args:
        compared_at: the comparison points, progress in percent, ascending.
        direction: which values are better.
    """

    def __init__(self, compared_at: Sequence[int], direction: Direction) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Ray leaves it untyped
        self._direction = direction
        self._costs: dict[int, dict[int, float]] = {percent: {} for percent in compared_at}
        """Cost of each trial that reached a comparison point, by that point and the trial's number."""

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Stop a trial that reaches a comparison point outside the better half."""
        message, number = read_result(result), key_of_task(trial.config)
        if not isinstance(message, TrialReport) or message.value is None or not isinstance(number, int):
            return TrialScheduler.CONTINUE  # a heartbeat, a failure, or a repeat, which is never compared
        arrived = self._arrive(number, message.percent_done, message.value)
        return TrialScheduler.STOP if arrived and not self.may_continue(number) else TrialScheduler.CONTINUE

    def _arrive(self, number: int, percent_done: float, value: float) -> bool:
        """Store a trial's value at each comparison point that it reached just now; return whether there is one."""
        new = [costs for percent, costs in self._costs.items() if percent <= percent_done and number not in costs]
        for costs in new:
            costs[number] = self._direction.cost(value)
        return bool(new)

    def may_continue(self, number: int) -> bool:
        """Return whether a trial is in the better half at the last point that it reached; the best trial always is."""
        _, better, count = self._last_point_rank_count(number)
        return better < max(1, count // 2)

    def most_promising(self, numbers: Iterable[int]) -> int | None:
        """Return which of these paused trials to continue: one with the most progress, or None if none may continue."""
        allowed = [number for number in numbers if self.may_continue(number)]
        return min(allowed, key=lambda number: (-self._last_point_rank_count(number)[0], number), default=None)

    def least_promising(self, numbers: Iterable[int]) -> int:
        """Return which of these paused trials ranks lowest at its comparison point, relative to the trials there."""

        def relative_rank(number: int) -> tuple[float, int]:
            _, better, count = self._last_point_rank_count(number)
            return better / max(1, count), number

        return max(numbers, key=relative_rank)

    def _last_point_rank_count(self, number: int) -> tuple[int, int, int]:
        """Return the last point that a trial reached, how many are better there and how many reached it; or zeros."""
        for percent, costs in reversed(self._costs.items()):
            if number in costs:
                mine = (costs[number], number)
                return percent, sum((cost, other) < mine for other, cost in costs.items()), len(costs)
        return 0, 0, 0


class CheckpointBeforePause(Callback):
    """Requests a checkpoint of each trial that the scheduler ends early, so that the trial can continue later."""

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """Request a checkpoint if Tune has marked this report as the trial's last."""
        report = read_result(result)
        if result[DONE] and isinstance(report, TrialReport) and report.value is not None:
            ask_for_checkpoint(result)
