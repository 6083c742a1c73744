"""One finding of a sweep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from spaces import Domain, Scalar

Changes = Mapping[str, Domain | Scalar]
"""Settings of a trial in the next experiment, by dotted name: a domain is searched, a value is fixed."""


@dataclass(frozen=True)
class Finding:
    """What a sweep says about the next one."""

    claim: str
    """The finding, such as `A padding length of 32 was enough`."""
    evidence: str
    """The numbers of the sweep that show it."""
    more: str = ""
    """Further sentences, such as the command that follows from it."""
    changes: Changes = field(default_factory=dict)
    """What the finding changes in the next experiment; empty if it changes nothing there."""

    @property
    def reason(self) -> str:
        """Return claim and evidence as one sentence."""
        return f"{self.claim}: {self.evidence}."

    @property
    def text(self) -> str:
        """Return claim, evidence and further sentences as one text."""
        return f"{self.reason} {self.more}".rstrip()
