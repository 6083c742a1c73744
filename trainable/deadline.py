"""The time at which a trial must end, because the budget of its sweep is used up then."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Deadline:
    """A point in time; by default there is none."""

    at: float = math.inf
    """Seconds since 1970, as `time.time` counts them: the same for all processes."""
    now: Callable[[], float] = time.time
    """Returns the current time."""

    def left(self) -> float:
        """Return the seconds that are left; negative after the deadline."""
        return self.at - self.now()


NO_DEADLINE = Deadline()
