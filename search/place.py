"""Where a sweep lies on disk, and reading back what lies there."""

import json
from dataclasses import dataclass
from pathlib import Path

from search.records import Outcome


@dataclass(frozen=True)
class Place:
    """Where a sweep lies on disk."""

    storage: Path
    name: str

    @property
    def folder(self) -> Path:
        """Everything of this sweep."""
        return self.storage / self.name

    @property
    def plan(self) -> Path:
        """The checked experiment, as JSON."""
        return self.folder / "plan.json"

    @property
    def study(self) -> Path:
        """The Optuna study; `optuna-dashboard` opens it."""
        return self.folder / "study.db"

    @property
    def outcome(self) -> Path:
        """What `show` prints."""
        return self.folder / "outcome.json"

    @property
    def log(self) -> Path:
        """What Ray and the libraries said."""
        return self.folder / "log.txt"


def load_outcome(place: Place) -> Outcome | None:
    """What a sweep has come to, or None while it never reached an end."""
    return Outcome.from_json(json.loads(place.outcome.read_text())) if place.outcome.is_file() else None
