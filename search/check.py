"""What one check before a sweep has found."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Check:
    """One line of the checklist."""

    name: str
    state: Literal["ok", "warning", "error"]
    sentences: tuple[str, ...]
    """What was found; of an error, every mistake with the way out."""

    @classmethod
    def of(cls, name: str, fact: str, errors: Iterable[str] = (), warnings: Iterable[str] = ()) -> "Check":
        """The mistakes where there are some, else the fact and what it leaves to say."""
        if errors := tuple(errors):
            return cls(name, "error", errors)
        warnings = tuple(warnings)
        return cls(name, "warning" if warnings else "ok", (fact, *warnings))
