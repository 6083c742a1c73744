"""Sums up what trials spent their time on."""

from collections import Counter
from collections.abc import Iterable, Mapping


def sum_times(times: Iterable[Mapping[str, Mapping[str, float]]]) -> dict[str, dict[str, float]]:
    """Return the sum of several trials' `times`, by part and kind of number."""
    total: dict[str, Counter[str]] = {}
    for parts in times:
        for name, numbers in parts.items():
            total.setdefault(name, Counter()).update(numbers)
    return {name: dict(sums) for name, sums in total.items()}
