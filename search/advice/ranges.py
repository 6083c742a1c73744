"""Where the good trials are in the space: narrower ranges, options left out, and ranges that end too early."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from search.advice.finding import Finding
from search.advice.sweep import Sweep
from search.record.records import TrialRecord
from search.wording import format_number
from spaces import Choice, Float, Int, Scalar

_ENOUGH = 3
"""Finished trials with an option before it is left out."""
_NARROWER = 0.7
"""Largest part of a range that is worth a change."""
_AT_THE_END = 0.1
"""Part of a range beside its end, from which good values say that it ends too early."""
_FURTHER = {"learning_rate": (1 / 3, 3), "epochs": (1, 1.5)}
"""Factors of the low and the high end of a range that ends too early; other settings have limits of their own."""


@dataclass(frozen=True)
class _Tried:
    """The values of a setting in the finished trials."""

    name: str
    metric: str
    spread: float
    good: Sequence[Scalar]
    """Those of the trials as good as the best: within the standard deviation over repeats."""
    worse: Sequence[Scalar]

    @property
    def margin(self) -> str:
        return f"within {format_number(self.spread)}, the standard deviation over repeats, of the best {self.metric}"


def better_ranges(sweep: Sweep, changed: Collection[str]) -> Iterator[Finding]:
    """Yield a finding for each setting whose good values are in a part of its domain, or at its end.

    Args:
        sweep: the sweep.
        changed: names that other findings change.
    """
    spread = sweep.spread
    if spread is None:
        return
    limit = min(map(sweep.cost, sweep.finished)) + spread
    good = {record.number for record in sweep.finished if sweep.cost(record) <= limit}
    for name, dimension in sweep.plan.space.dimensions.items():
        if name in changed or name.endswith(".enabled"):  # the comparison with repeats says more of a source
            continue
        tried = _Tried(name, sweep.metric, spread, *_values(sweep.finished, name, good))
        if not tried.good:
            continue
        if isinstance(dimension.domain, Choice):
            yield from _fewer_options(dimension.domain, tried)
        elif len(tried.good) > 1:
            yield from _better_range(dimension.domain, tried)


def _values(records: Sequence[TrialRecord], name: str, good: Collection[int]) -> tuple[list[Scalar], list[Scalar]]:
    """Return the values of a setting in the good trials, and in the others."""
    having = [record for record in records if name in record.params]
    inside = [record.params[name] for record in having if record.number in good]
    return inside, [record.params[name] for record in having if record.number not in good]


def _fewer_options(domain: Choice, tried: _Tried) -> Iterator[Finding]:
    counts = {option: tried.worse.count(option) for option in domain.options if option not in tried.good}
    left_out = {option: count for option, count in counts.items() if count >= _ENOUGH}
    if not left_out:
        return
    kept = tuple(option for option in domain.options if option not in left_out)
    listed = ", ".join(f"{format_number(option)} ({count} trials)" for option, count in left_out.items())
    evidence = f"no finished trial with {listed} came {tried.margin}"
    change = Choice(kept) if len(kept) > 1 else kept[0]
    yield Finding(f"Search {tried.name} without what was worse", evidence, changes={tried.name: change})


def _better_range(domain: Int | Float, tried: _Tried) -> Iterator[Finding]:
    good, worse = (sorted(float(value or 0) for value in values) for values in (tried.good, tried.worse))
    # The worse trials beside the good ones limit the range: what lies between them was not tried.
    low: float = domain.nearest(max((value for value in worse if value < good[0]), default=domain.low))
    high: float = domain.nearest(min((value for value in worse if value > good[-1]), default=domain.high))
    lower, higher = _FURTHER.get(tried.name.rpartition(".")[2], (1, 1)) if domain.step in (None, 1) else (1, 1)
    if ends_early := higher > 1 and _place(domain, good[0]) >= 1 - _AT_THE_END:
        high = domain.high * higher
    if begins_late := lower < 1 and _place(domain, good[-1]) <= _AT_THE_END:
        low = domain.low * lower
    if not (ends_early or begins_late) and _place(domain, high) - _place(domain, low) > _NARROWER:
        return
    where = f"{format_number(good[0])} to {format_number(good[-1])}"
    at_end = f", at the end of the searched {format_number(domain.low)} to {format_number(domain.high)}"
    evidence = (
        f"the {len(good)} finished trials {tried.margin} have {where}"
        f"{at_end if ends_early or begins_late else ', and those beside them were worse'}"
    )
    change = _range(domain, min(_two_digits(domain, low), good[0]), max(_two_digits(domain, high), good[-1]))
    bounds = f"{format_number(change.low)} to {format_number(change.high)}"
    yield Finding(f"Search {tried.name} from {bounds}", evidence, changes={tried.name: change})


def _two_digits(domain: Int | Float, bound: float) -> float:
    """Return a new bound with two digits, if its domain has no steps and the rounded one does not lie further out."""
    rounded = float(f"{bound:.1e}")
    inside = min(domain.low, bound) <= rounded <= max(domain.high, bound)
    return rounded if domain.step is None and inside else bound


def _range(domain: Int | Float, low: float, high: float) -> Int | Float:
    """Return a domain of the same kind with other bounds."""
    if isinstance(domain, Int):
        return replace(domain, low=math.floor(low), high=math.ceil(high))
    return replace(domain, low=low, high=high)


def _place(domain: Int | Float, value: float) -> float:
    """Return where a value is in a range: 0 at its low end, 1 at its high end."""
    scale = math.log if domain.log else float
    low, high = scale(domain.low), scale(domain.high)
    return (scale(value) - low) / (high - low) if high > low else 0.5
