"""The result of one check that is made before a sweep."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Check:
    """One line of the checklist."""

    name: str
    state: Literal["ok", "warning", "error"]
    sentences: tuple[str, ...]
    """The findings of the check. For an error: every mistake, with what to do about it."""

    @classmethod
    def of(cls, name: str, fact: str, errors: Iterable[str] = (), warnings: Iterable[str] = ()) -> "Check":
        """Return a check with the errors alone if there are any, otherwise with the fact and the warnings."""
        if errors := tuple(errors):
            return cls(name, "error", errors)
        warnings = tuple(warnings)
        return cls(name, "warning" if warnings else "ok", (fact, *warnings))
