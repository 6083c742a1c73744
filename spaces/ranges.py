"""Ranges of integers, floats and shares: frozen values that check themselves."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from spaces.errors import SpaceError, refuse, show
from spaces.scalars import is_finite

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

LARGEST = 2**53  # Optuna stores numbers as floats, which cannot tell larger neighbouring integers apart
VALUES = 10_000  # a grid over a domain with more values is too large to run


@dataclass(frozen=True)
class Int:
    """Whole numbers from `low` to `high`, both included, in steps of `step` from `low`.

    With `log`, every decade (1 to 10, 10 to 100 ...) is drawn equally often; `low` must then be at least 1, and `step`
    must be 1.

    Raises:
        SpaceError: if bounds, step and log do not make a range; names every mistake.
    """

    low: int
    high: int
    step: int = 1
    log: bool = False

    def __post_init__(self) -> None:
        refuse(list(self._problems()))

    def _problems(self) -> Iterator[str]:
        wrong = [f"{n} must be a whole number, got {show(v)}" for n, v in self._numbers() if type(v) is not int]
        if wrong:
            yield from wrong
            return
        if max(abs(self.low), abs(self.high)) > LARGEST:
            yield f"bounds must lie within ±2**53, got [{self.low:.3g}, {self.high:.3g}]"
        yield from _order_problems(self.low, self.high, self.log)
        if self.step < 1:
            yield f"step must be at least 1, got {self.step}"
        elif self.log and self.step != 1:
            yield f"step and log exclude each other, got step {self.step} with log"
        elif self.low <= self.high and (over := (self.high - self.low) % self.step):
            yield _uneven(self.low, self.high, self.step, self.high - over)

    def _numbers(self) -> tuple[tuple[str, object], ...]:
        return ("low", self.low), ("high", self.high), ("step", self.step)

    def __contains__(self, value: object) -> bool:
        return type(value) is int and self.low <= value <= self.high and (value - self.low) % self.step == 0

    def __str__(self) -> str:
        steps = f" in steps of {self.step}" if self.step > 1 else ""
        return f"the whole numbers {self.low} to {self.high}{steps}"

    def suggest(self, trial: "BaseTrial", name: str) -> int:
        """Ask an Optuna trial for a value."""
        return trial.suggest_int(name, self.low, self.high, step=self.step, log=self.log)

    def corners(self) -> tuple[int, ...]:
        """Return the extreme values, the lowest first."""
        return (self.low, self.high) if self.low < self.high else (self.low,)

    def nearest(self, number: float) -> int:
        """Return the value closest to a finite number; of two equally close ones, the lower."""
        steps = math.ceil((min(max(number, self.low), self.high) - self.low) / self.step - 0.5)
        return self.low + steps * self.step

    def middle(self) -> int:
        """Return the value in the middle of the range; with `log`, in the middle of the logarithms."""
        return self.nearest(_middle(self.low, self.high, self.log))

    def values(self, limit: int = VALUES) -> tuple[int, ...]:
        """Return every value, in ascending order.

        Raises:
            SpaceError: if there are more than `limit`.
        """
        numbers = range(self.low, self.high + 1, self.step)
        check_count(len(numbers), limit)
        return tuple(numbers)

    def to_yaml(self) -> dict[str, Any]:
        """Return this domain as the mapping that an experiment file has for it."""
        return {"int": [self.low, self.high], **({"step": self.step} if self.step > 1 else {}), **_log(self.log)}


@dataclass(frozen=True)
class Float:
    """Numbers from `low` to `high`, both included; with `step`, only `low`, `low + step`, `low + 2 * step` ...

    With `log`, every decade (0.1 to 1, 1 to 10 ...) is drawn equally often; `low` must then be above 0, and there must
    be no `step`.

    Raises:
        SpaceError: if bounds, step and log do not make a range; names every mistake.
    """

    low: float
    high: float
    step: float | None = None
    log: bool = False

    def __post_init__(self) -> None:
        refuse(list(self._problems()))
        for name in ("low", "high", *(["step"] if self.step is not None else [])):
            object.__setattr__(self, name, float(getattr(self, name)))

    def _problems(self) -> Iterator[str]:
        wrong = [f"{n} must be a finite number, got {show(v)}" for n, v in self._numbers() if not is_finite(v)]
        if wrong:
            yield from wrong
            return
        if not math.isfinite(float(self.high) - float(self.low)):
            yield f"bounds lie too far apart to be sampled, got [{self.low}, {self.high}]"
        yield from _order_problems(self.low, self.high, self.log)
        if self.step is None:
            return
        if self.log:
            yield f"step and log exclude each other, got step {self.step} with log"
        if self.step <= 0:
            yield f"step must be above 0, got {self.step}"
        elif self.low <= self.high:
            steps = self._span() / _exact(self.step)
            if steps > LARGEST:
                yield f"step {self.step} is too small for [{self.low}, {self.high}]"
            elif steps.denominator != 1:
                last = float(_exact(self.low) + int(steps) * _exact(self.step))
                yield _uneven(self.low, self.high, self.step, last)

    def _numbers(self) -> tuple[tuple[str, object], ...]:
        step = (("step", self.step),) if self.step is not None else ()
        return ("low", self.low), ("high", self.high), *step

    def _span(self) -> Fraction:
        return _exact(self.high) - _exact(self.low)

    def __contains__(self, value: object) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float) or not self.low <= value <= self.high:
            return False
        if self.step is None:
            return True
        steps = (value - self.low) / self.step
        return abs(steps - round(steps)) < 1e-8  # the tolerance that Optuna uses: its sums of floats are inexact

    def __str__(self) -> str:
        steps = f" in steps of {self.step}" if self.step is not None else ""
        return f"the numbers {self.low} to {self.high}{steps}"

    def suggest(self, trial: "BaseTrial", name: str) -> float:
        """Ask an Optuna trial for a value."""
        return trial.suggest_float(name, self.low, self.high, step=self.step, log=self.log)

    def corners(self) -> tuple[float, ...]:
        """Return the extreme values, the lowest first."""
        return (self.low, self.high) if self.low < self.high else (self.low,)

    def nearest(self, number: float) -> float:
        """Return the value closest to a finite number; of two equally close ones, the lower."""
        inside = min(max(float(number), self.low), self.high)
        if self.step is None:
            return inside
        steps = math.ceil((inside - self.low) / self.step - 0.5)
        return float(_exact(self.low) + steps * _exact(self.step))

    def middle(self) -> float:
        """Return the value in the middle of the range; with `log`, in the middle of the logarithms."""
        return self.nearest(_middle(self.low, self.high, self.log))

    def values(self, limit: int = VALUES) -> tuple[float, ...]:
        """Return every value, in ascending order.

        Raises:
            SpaceError: if there are more than `limit`, or infinitely many because there is no `step`.
        """
        if self.low == self.high:
            return (self.low,)
        if self.step is None:
            raise SpaceError(
                f"{self} are infinitely many, and a grid needs finitely many values; give a step, or write a choice"
            )
        count = int(self._span() / _exact(self.step)) + 1
        check_count(count, limit)
        return tuple(float(_exact(self.low) + i * _exact(self.step)) for i in range(count))

    def to_yaml(self) -> dict[str, Any]:
        """Return this domain as the mapping that an experiment file has for it."""
        step = {"step": self.step} if self.step is not None else {}
        return {"float": [self.low, self.high], **step, **_log(self.log)}


@dataclass(frozen=True)
class Share(Float):
    """Shares, 0 to 1, of a whole number that other settings decide, such as the layers of the trial's encoder.

    The value of a point is the share, a float: so that it means the same for small and large encoders. Without `log`.

    Raises:
        SpaceError: if bounds and step do not make a range within 0 and 1; names every mistake.
    """

    def _problems(self) -> Iterator[str]:
        yield from super()._problems()
        if is_finite(self.low) and is_finite(self.high) and not (self.low >= 0 and self.high <= 1):
            yield f"a share must lie within 0 and 1, got [{self.low}, {self.high}]; whole numbers need `int:`"

    def __contains__(self, value: object) -> bool:
        return isinstance(value, float) and super().__contains__(value)  # an integer would be a count, not a share

    def __str__(self) -> str:
        return super().__str__().replace("numbers", "shares", 1)

    def count(self, share: float, whole: int) -> int:
        """Return the whole number closest to this share of `whole`; of two equally close ones, the higher."""
        return math.floor(share * whole + 0.5)

    def to_yaml(self) -> dict[str, Any]:
        """Return this domain as the mapping that an experiment file has for it."""
        return {"share": [self.low, self.high], **({"step": self.step} if self.step is not None else {})}


def _middle(low: float, high: float, log: bool) -> float:
    return math.sqrt(low) * math.sqrt(high) if log else low + (high - low) / 2


def _order_problems(low: float, high: float, log: object) -> Iterator[str]:
    if not isinstance(log, bool):
        yield f"log must be true or false, got {show(log)}"
    if low > high:
        yield f"low must not exceed high, got [{low}, {high}]"
    if log and low <= 0:
        yield f"log needs low above 0, got {low}"


def _uneven(low: float, high: float, step: float, last: float) -> str:
    return f"steps of {step} from {low} end at {last}, not at {high}; write [{low}, {last}], or another step"


def check_count(count: int, limit: int) -> None:
    """Raise `SpaceError` if there are more values than a grid may have."""
    if count > limit:
        raise SpaceError(f"{count} values are too many for a grid (limit {limit}); give a larger step")


def _exact(number: float) -> Fraction:
    """Return the number as its decimal digits say, so that 0.3 is exactly three steps of 0.1."""
    return Fraction(repr(number))


def _log(log: bool) -> dict[str, bool]:
    return {"log": True} if log else {}
