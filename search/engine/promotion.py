"""Successive halving that pauses trials instead of ending them: ASHA as it was published, by promotion.

Li et al., "A System for Massively Parallel Hyperparameter Tuning" (MLSys 2020), algorithm 2. Ray's own ASHA stops: what
it ends too early, while there is little to compare with, is lost.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial
from ray.tune.result import DONE
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from search.cluster.ray_internals import ask_for_checkpoint
from trainable.tasks.metrics import Direction
from trainable.workers.messages import TrialReport, key_of_task, read_result


class Promotion(FIFOScheduler):
    """Lets a trial pass a rung while it is in the better half of those that came as far, or once it is.

    For Tune a trial that must wait ends here, and goes on as another one. Which go on, and when, is the searcher's
    to say; `CheckpointBeforePause` sees to it that they can.

    Args:
        compared_at: progress in percent, ascending, at which trials are compared.
        direction: which values are better.
    """

    def __init__(self, compared_at: Sequence[int], direction: Direction) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Ray leaves it untyped
        self._direction = direction
        self._costs: dict[int, dict[int, float]] = {percent: {} for percent in compared_at}
        """Cost of each trial that reached a comparison point, by that point and the trial\'s number."""

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Judge a trial that has come to a rung."""
        said, number = read_result(result), key_of_task(trial.config)
        if not isinstance(said, TrialReport) or said.value is None or not isinstance(number, int):
            return TrialScheduler.CONTINUE  # a sign of life, a failure, or a repeat, which is compared with nothing
        arrived = self._arrive(number, said.progress, said.value)
        return TrialScheduler.STOP if arrived and not self.may_continue(number) else TrialScheduler.CONTINUE

    def _arrive(self, number: int, progress: float, value: float) -> bool:
        """Note a value at each rung that a trial has come to; whether there is such a rung."""
        new = [costs for percent, costs in self._costs.items() if percent <= progress and number not in costs]
        for costs in new:
            costs[number] = self._direction.cost(value)
        return bool(new)

    def may_continue(self, number: int) -> bool:
        """Whether a trial is in the better half at the last rung that it came to; the best one always is."""
        _, place, of = self._standing(number)
        return place < max(1, of // 2)

    def most_promising(self, numbers: Iterable[int]) -> int | None:
        """Which of these paused trials to go on with: of those that may, one that came furthest; None if none may."""
        may = [number for number in numbers if self.may_continue(number)]
        return min(may, key=lambda number: (-self._standing(number)[0], number), default=None)

    def least_promising(self, numbers: Iterable[int]) -> int:
        """Which of these paused trials is furthest from going on: by its place in its rung."""

        def place(number: int) -> tuple[float, int]:
            _, behind, of = self._standing(number)
            return behind / max(1, of), number

        return max(numbers, key=place)

    def _standing(self, number: int) -> tuple[int, int, int]:
        """The last rung that a trial came to, how many are better there, and of how many; zeros before the first."""
        for percent, costs in reversed(self._costs.items()):
            if number in costs:
                mine = (costs[number], number)
                return percent, sum((cost, other) < mine for other, cost in costs.items()), len(costs)
        return 0, 0, 0


class CheckpointBeforePause(Callback):
    """Asks for a checkpoint of each trial that a scheduler ends before its time, from which it can go on."""

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """A report; Tune has marked it if the trial ends with it."""
        said = read_result(result)
        if result[DONE] and isinstance(said, TrialReport) and said.value is not None:
            ask_for_checkpoint(result)
