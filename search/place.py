"""Where a sweep lies on disk, and reading back what lies there."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from search.errors import PlanError
from search.outbox import count_waiting
from search.records import Outcome
from trainable.files import write_file

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


def load_facts(place: Place) -> dict[str, Any]:
    """A sweep's plan as it lies on disk: the three blocks, `roots`, `id`, and the data's fingerprints as `data`.

    Raises:
        PlanError: if there is no sweep of the name.
    """
    if not place.plan.is_file():
        there = sorted(file.parent.name for file in place.storage.glob("*/plan.json"))
        raise PlanError([f"{place.name}: no such sweep in {place.storage}; there are: {', '.join(there) or 'none'}"])
    facts: dict[str, Any] = json.loads(place.plan.read_text())
    return facts


def save_facts(place: Place, facts: Mapping[str, Any]) -> None:
    """Write a sweep's plan, whole or not at all."""
    write_file(place.plan, lambda into: into.write_text(json.dumps(facts, indent=1)))


def change_facts(place: Place, experiment: Mapping[str, Any]) -> None:
    """Keep what a session has changed in the three blocks, and take back the outcome of the sweep as it was."""
    facts = load_facts(place)
    changed = facts | json.loads(json.dumps(experiment))
    if changed != facts:
        # In this order: a plan that asks for more never stands beside an outcome that says there is nothing to do.
        place.outcome.unlink(missing_ok=True)
        save_facts(place, changed)
