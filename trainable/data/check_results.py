"""Collects the sentences about a data set while it is read, checked and split."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class CheckResults:
    """Problems and notes, each in the order in which the checks find them."""

    problems: list[str] = field(default_factory=list)
    """Mistakes. A data set with one cannot be used in a trial."""
    notes: list[str] = field(default_factory=list)
    """Facts that the user should know. They do not stop a trial."""
