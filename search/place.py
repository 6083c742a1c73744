"""Where a sweep lies on disk, and reading back what lies there."""

import json
import shlex
from dataclasses import dataclass, replace
from pathlib import Path

from search.outbox import count_waiting
from search.records import Outcome

_AWAY = "MLflow was away: "


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
    def outbox(self) -> Path:
        """What MLflow has not been told yet."""
        return self.folder / "outbox.jsonl"

    @property
    def log(self) -> Path:
        """What Ray and the libraries said."""
        return self.folder / "log.txt"


def load_outcome(place: Place) -> Outcome | None:
    """What a sweep has come to, or None while it never reached an end."""
    if not place.outcome.is_file():
        return None
    return with_waiting(Outcome.from_json(json.loads(place.outcome.read_text())), place)


def with_waiting(outcome: Outcome, place: Place) -> Outcome:
    """The outcome, with a note if and only if MLflow has not been told everything."""
    notes = tuple(note for note in outcome.notes if not note.startswith(_AWAY))
    waiting = count_waiting(place.outbox)
    if not waiting:
        return replace(outcome, notes=notes)
    command = shlex.join(["transfersweep", "resume", place.name, "--storage", str(place.storage)])
    note = f"{_AWAY}{waiting} events wait in {place.outbox}; `{command}` delivers them"
    return replace(outcome, notes=(*notes, note))
