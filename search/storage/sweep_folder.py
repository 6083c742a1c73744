"""Where a sweep lies on disk, and reading back what lies there."""

import json
import os
import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NotRequired, TypedDict, cast

from search.errors import PlanError
from search.record.records import Outcome
from search.redaction import redact
from search.storage.driver_lock import DriverLock
from search.storage.outbox import count_waiting
from search.storage.store_uri import default_uri
from search.storage.sweep_name import checked_name
from trainable.errors import ConfigError
from trainable.settings.values import Nested
from trainable.store.files import temporary_folder, write_file, write_folder

DEFAULT_STORAGE = "runs"
_BLOCK_TYPES = {"sweep": dict, "trial": dict, "space": dict, "roots": list, "id": str, "data": dict}
_AWAY = "MLflow was away: "


class Experiment(TypedDict):
    """An experiment as JSON: the three blocks, and where its relative files are looked up."""

    sweep: Nested
    trial: Nested
    space: Nested
    roots: list[str]


class SavedPlan(Experiment):
    """A sweep's plan as it lies on disk: its experiment, and what tells it from others."""

    id: str
    data: dict[str, str]
    """Fingerprints of its data, see `search.plan.data_use`."""
    storage: NotRequired[str]
    """Where the folder of all sweeps lay when the sweep began; older versions did not keep it."""
    foundations: NotRequired[dict[str, list[str]]]
    """Fingerprints of encoders, tokenizers and data, see `search.study.fingerprints`; missing in older sweeps."""


@dataclass(frozen=True)
class SweepFolder:
    """Where a sweep lies on disk.

    Raises:
        PlanError: if no sweep can have that name.
    """

    storage: Path
    name: str

    def __post_init__(self) -> None:
        try:
            checked_name(self.name)
        except ValueError as error:
            raise PlanError([f"no sweep can have that name: {error}"]) from None

    def command(self, name: str, *further: str) -> str:
        """What to type for a command on this sweep."""
        return shlex.join(["transfersweep", name, self.name, *further, *self.storage_option])

    @property
    def storage_option(self) -> list[str]:
        """How a command is told the storage folder: not at all where it is the default."""
        return [] if str(self.storage) == DEFAULT_STORAGE else ["--storage", str(self.storage)]

    @property
    def path(self) -> Path:
        """Everything of this sweep."""
        return self.storage / self.name

    @property
    def plan(self) -> Path:
        """The checked experiment, as JSON."""
        return self.path / "plan.json"

    @property
    def study(self) -> Path:
        """The Optuna study; `optuna-dashboard` opens it."""
        return self.path / "study.db"

    @property
    def outcome(self) -> Path:
        """What `show` prints."""
        return self.path / "outcome.json"

    @property
    def outbox(self) -> Path:
        """What MLflow has not been told yet."""
        return self.path / "outbox.db"

    @property
    def log(self) -> Path:
        """What Ray and the libraries said."""
        return self.path / "log.txt"

    @property
    def ray_logs(self) -> Path:
        """What Ray's processes said, the trials' among them, kept where one of them died."""
        return self.path / "ray-logs"


def check_storage(storage: Path) -> None:
    """See that this machine can write into the storage folder, which is made where it is missing.

    Raises:
        ConfigError: if it cannot.
    """
    try:
        storage.mkdir(parents=True, exist_ok=True)
        with temporary_folder(storage) as folder:
            (folder / "file").write_bytes(b"")
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(f"--storage {storage}: cannot be written ({reason}); give a folder of your own") from None


def load_outcome(folder: SweepFolder) -> Outcome | None:
    """What a sweep has come to, or None while it never reached an end.

    Raises:
        PlanError: if the file is damaged.
    """
    if not folder.outcome.exists():
        return None
    way_out = f"remove it; `{folder.command('resume')}` writes it anew"
    data = _read(folder.outcome, way_out)
    try:
        outcome = Outcome.from_json(data)
    except (LookupError, TypeError, ValueError):
        raise PlanError([f"{folder.outcome}: is damaged, or of another version; {way_out}"]) from None
    # The sweep may have been moved since, and MLflow's file with it.
    uri = outcome.tracking_uri if load_saved_plan(folder)["sweep"].get("tracking_uri") else default_uri(folder.storage)
    return with_waiting_note(replace(outcome, storage=str(folder.storage), tracking_uri=uri), folder)


def with_waiting_note(outcome: Outcome, folder: SweepFolder) -> Outcome:
    """The outcome, with a note if and only if MLflow has not been told everything."""
    notes = tuple(note for note in outcome.notes if not note.startswith(_AWAY))
    waiting = count_waiting(folder.outbox)
    if not waiting:
        return replace(outcome, notes=notes)
    note = f"{_AWAY}{waiting} events wait in {folder.path}; `{folder.command('resume')}` delivers them"
    return replace(outcome, notes=(*notes, note))


def load_saved_plan(folder: SweepFolder) -> SavedPlan:
    """A sweep's plan as it lies on disk.

    Raises:
        PlanError: if there is no sweep of the name, or its plan is damaged.
    """
    if not folder.plan.is_file():
        there = sorted(file.parent.name for file in folder.storage.glob("*/plan.json"))
        raise PlanError([f"{folder.name}: no such sweep in {folder.storage}; there are: {', '.join(there) or 'none'}"])
    way_out = "bring it back from a copy, or run the experiment again under another name"
    saved = _read(folder.plan, way_out)
    if lacking := [name for name, kind in _BLOCK_TYPES.items() if not isinstance(saved.get(name), kind)]:
        raise PlanError([f"{folder.plan}: is damaged, or of another version: lacks {', '.join(lacking)}; {way_out}"])
    return cast(SavedPlan, saved)


def data_roots(saved: SavedPlan, storage: Path) -> tuple[Path, ...]:
    """The folders in which a sweep's relative data files are looked up.

    Those around or below the storage folder may have been moved or copied together with it: then that is looked at
    first, and afterwards where they were.
    """
    before = Path(saved["storage"]) if "storage" in saved else None
    roots: list[Path] = []
    for root in map(Path, saved["roots"]):
        if before and (root.is_relative_to(before) or before.is_relative_to(root)):
            roots.append(Path(os.path.normpath(storage.absolute() / os.path.relpath(root, before))))
        roots.append(root)
    return tuple(dict.fromkeys(roots))


def create_sweep_folder(folder: SweepFolder, saved: SavedPlan) -> DriverLock:
    """Make a sweep's folder with its plan in it, both or neither; returns the right to run it.

    Raises:
        FileExistsError: if there is something of that name by now.
    """
    locks: list[DriverLock] = []

    def fill(into: Path) -> None:
        _write_plan(into / folder.plan.name, saved)
        locks.append(DriverLock(into))  # before anybody else can see the folder

    try:
        write_folder(folder.path, fill, replace=False)
    except OSError as error:
        for lock in locks:
            lock.release()
        if os.path.lexists(folder.path):
            raise FileExistsError(str(folder.path)) from error
        raise
    return locks[0]


def update_saved_plan(folder: SweepFolder, experiment: Experiment) -> None:
    """Keep what a session has changed in the three blocks, and take back the outcome of the sweep as it was."""
    saved = load_saved_plan(folder)
    blocks = {name: value for name, value in experiment.items() if name != "roots"}  # those of the first session stay
    changed = cast(SavedPlan, {**saved, **json.loads(json.dumps(blocks))})
    if changed != saved:
        # In this order: a plan that asks for more never stands beside an outcome that says there is nothing to do.
        folder.outcome.unlink(missing_ok=True)
        save_plan(folder, changed)


def save_plan(folder: SweepFolder, saved: SavedPlan) -> None:
    """Write a sweep's plan anew, if it says something else."""
    if saved != load_saved_plan(folder):
        write_file(folder.plan, lambda into: _write_plan(into, saved))


def _write_plan(into: Path, saved: SavedPlan) -> None:
    """Write a plan, readable by its owner alone where a password stands in it."""
    text = json.dumps(saved, indent=1)
    mode = 0o600 if redact(text) != text else 0o666
    with open(into, "x", encoding="utf-8", opener=lambda path, flags: os.open(path, flags, mode)) as file:
        file.write(text)


def _read(file: Path, way_out: str) -> dict[str, Any]:
    """A JSON object that a sweep wrote."""
    if not file.is_file():  # reading a pipe would wait for ever
        raise PlanError([f"{file}: is no plain file; {way_out}"])
    try:
        data = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise PlanError([f"{file}: is damaged: {error!s:.200}; {way_out}"]) from None
    if not isinstance(data, dict):
        raise PlanError([f"{file}: is damaged: holds no JSON object; {way_out}"])
    return data
