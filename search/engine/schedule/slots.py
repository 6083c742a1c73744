"""How many trials can run at a time: the number follows the nodes that join or leave the cluster during the search."""

import time
from collections.abc import Callable
from typing import Any

from ray.tune import Callback

from search.cluster.driver_only import DriverOnly
from search.study.sweep_study import SLOTS, SweepStudy

LOOK_SECONDS = 10.0
"""Time between two looks at the cluster."""


class Slots:
    """How many trials can run at a time, at least 1; `most` is the largest number so far."""

    def __init__(self, now: int) -> None:
        self.now = self.most = now

    def change(self, now: int) -> None:
        """Set another number; 0 counts as 1."""
        self.now = max(1, now)
        self.most = max(self.most, self.now)


class SlotsOfCluster(DriverOnly, Callback):
    """Counts from time to time how many trials the cluster can run at a time.

    Args:
        slots: receives the number.
        study: stores the largest number.
        count: returns how many trials the nodes of the cluster can run at a time; 0 if there is no room for any.
        clock: returns the current time in seconds; it never goes back.
    """

    def __init__(
        self, slots: Slots, study: SweepStudy, count: Callable[[], int], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._slots, self._study, self._count, self._clock = slots, study, count, clock
        self._last = clock()

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Count, unless the last count is recent."""
        if self._clock() - self._last < LOOK_SECONDS:
            return
        self._last = self._clock()
        self._slots.change(self._count())
        if self._slots.most > self._study.user_attr(SLOTS, 0):
            self._study.set_user_attr(SLOTS, self._slots.most)
