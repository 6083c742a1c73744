"""How much of the data a ranking uses; this module loads no torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Effort:
    """How much of the data a ranking uses."""

    source_rows: int = 2000
    """Most training rows of a source, on which the encoder trains for one epoch."""
    target_rows: int = 1000
    """Most rows of the target that are encoded."""
