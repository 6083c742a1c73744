"""What reading a data set finds, gathered on the way from the files to the splits."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Findings:
    """Sentences about a data set, in the order of the reading."""

    problems: list[str] = field(default_factory=list)
    """What would stop a trial."""
    notes: list[str] = field(default_factory=list)
    """What is worth knowing and no error."""
