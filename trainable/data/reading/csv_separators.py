"""Finds out that a CSV file has another separator than the one it is read with."""

from __future__ import annotations

import csv
from collections.abc import Sequence

from trainable.settings.dataset import SEPARATORS

_SAMPLE = 200  # lines
_AGREEING = 0.9  # share of the rows with as many cells as the header


def likelier(lines: Sequence[str], separator: str) -> str | None:
    """The name of a separator that cuts a file into columns where the given one does not; none if there is none."""
    shares = {name: _agreeing(lines[:_SAMPLE], other) for name, other in SEPARATORS.items() if other != separator}
    best = max(shares, key=lambda name: shares[name])
    return best if shares[best] >= _AGREEING and shares[best] > _agreeing(lines[:_SAMPLE], separator) else None


def _agreeing(lines: Sequence[str], separator: str) -> float:
    """Share of the rows that have as many cells as the header; 0 where that has only one."""
    counts = [len(record) for record in csv.reader(lines, delimiter=separator) if record]
    return counts.count(counts[0]) / len(counts) if counts[0] > 1 else 0.0
