"""Finds the separator of a CSV file if the expected one does not split it into columns."""

from __future__ import annotations

import csv
from collections.abc import Sequence

from trainable.settings.dataset import SEPARATORS

_SAMPLE = 200  # lines
_MIN_SHARE = 0.9  # of the rows must have as many cells as the header


def find_better_separator(lines: Sequence[str], separator: str) -> str | None:
    """Return the name of a separator that splits a file into columns better than the given one; None if none does."""
    sample = lines[:_SAMPLE]
    shares = {name: _share_like_header(sample, other) for name, other in SEPARATORS.items() if other != separator}
    best = max(shares, key=lambda name: shares[name])
    return best if shares[best] >= _MIN_SHARE and shares[best] > _share_like_header(sample, separator) else None


def _share_like_header(lines: Sequence[str], separator: str) -> float:
    """Return the share of the rows that have as many cells as the header; 0 if the header has only one."""
    counts = [len(record) for record in csv.reader(lines, delimiter=separator) if record]
    return counts.count(counts[0]) / len(counts) if counts[0] > 1 else 0.0
