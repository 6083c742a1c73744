"""Names the files of a sweep's folder; writes and reads its plan, and reads its outcome."""

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
from search.storage.older_plans import complete_older_plan
from search.storage.outbox import count_waiting
from search.storage.store_uri import default_uri
from search.storage.sweep_name import checked_name
from trainable.baselines.results import BaselineFolder
from trainable.errors import ConfigError
from trainable.settings.values import Nested
from trainable.store.files import temporary_folder, write_file, write_folder

DEFAULT_STORAGE = "runs"
_BLOCK_TYPES = {"sweep": dict, "trial": dict, "space": dict, "roots": list, "id": str, "data": dict}
_AWAY = "MLflow was away: "


class Experiment(TypedDict):
    """An experiment as JSON: its three blocks, and the folders in which its relative files are looked up."""

    sweep: Nested
    trial: Nested
    space: Nested
    roots: list[str]
    held_out_rows: int
    """See `Plan.held_out_rows`."""
    source_rows: NotRequired[int | None]
    """See `Plan.source_rows`; missing in older sweeps."""


class SavedRanking(TypedDict):
    """A part of `plan.json`."""

    ranking: NotRequired[Nested]
    """The ranking of the sources from which the space keeps the first ones; missing if nothing was ranked."""


class SavedPlan(Experiment, SavedRanking):
    """The content of `plan.json`: the experiment, the sweep's id, and what its results depend on."""

    id: str
    data: dict[str, str]
    """Fingerprints of its data, see `search.plan.data_use`."""
    storage: NotRequired[str]
    """The path of the storage folder when the sweep began; older versions did not store it."""
    foundations: NotRequired[dict[str, list[str]]]
    """Fingerprints of encoders, tokenizers and data, see `search.study.fingerprints`; missing in older sweeps."""


@dataclass(frozen=True)
class SweepFolder:
    """The folder of one sweep, and the paths of its files.

    Args:
        storage: the folder of all sweeps.
        name: the sweep's name.

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

    def command(self, name: str, *arguments: str) -> str:
        """Return the shell command that runs `transfersweep NAME` on this sweep."""
        return shlex.join(["transfersweep", name, self.name, *arguments, *self.storage_option])

    @property
    def storage_option(self) -> list[str]:
        """Return the option `--storage` of a command; empty for the default folder."""
        return [] if str(self.storage) == DEFAULT_STORAGE else ["--storage", str(self.storage)]

    @property
    def path(self) -> Path:
        """Return the path of the sweep's folder."""
        return self.storage / self.name

    @property
    def plan(self) -> Path:
        """Return the path of the checked experiment, as JSON."""
        return self.path / "plan.json"

    @property
    def study(self) -> Path:
        """Return the path of the Optuna study; `optuna-dashboard` can open it."""
        return self.path / "study.db"

    @property
    def outcome(self) -> Path:
        """Return the path of the outcome, which `show` prints."""
        return self.path / "outcome.json"

    @property
    def answers(self) -> Path:
        """Return the path of the winner's answers to the rows that it was scored on."""
        return self.path / "answers.parquet"

    @property
    def report(self) -> Path:
        """Return the path of the report, an HTML page."""
        return self.path / "report.html"

    @property
    def outbox(self) -> Path:
        """Return the path of the events that MLflow has not received yet."""
        return self.path / "outbox.db"

    @property
    def baselines(self) -> BaselineFolder:
        """Return the folder of the obvious answers: their results and models."""
        return BaselineFolder(self.path / "baselines")

    @property
    def log(self) -> Path:
        """Return the path of the log of Ray and the libraries."""
        return self.path / "log.txt"

    @property
    def ray_logs(self) -> Path:
        """Return the folder of the logs of Ray's processes and trials; they are kept if one of them died."""
        return self.path / "ray-logs"


def check_storage(storage: Path) -> None:
    """Check that this machine can write into the storage folder; create the folder if it is missing.

    Raises:
        ConfigError: if it cannot write there.
    """
    try:
        storage.mkdir(parents=True, exist_ok=True)
        with temporary_folder(storage) as folder:
            (folder / "file").write_bytes(b"")
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(f"--storage {storage}: cannot be written ({reason}); give a folder of your own") from None


def load_outcome(folder: SweepFolder) -> Outcome | None:
    """Return the outcome of a sweep, or None if the sweep has not reached its end yet.

    Raises:
        PlanError: if the file is damaged.
    """
    if not folder.outcome.exists():
        return None
    way_out = f"remove it; `{folder.command('resume')}` writes it again"
    data = _read(folder.outcome, way_out)
    try:
        outcome = Outcome.from_json(data)
    except (LookupError, TypeError, ValueError):
        raise PlanError([f"{folder.outcome}: is damaged, or of another version; {way_out}"]) from None
    # The sweep may have been moved since then, together with the SQLite file of MLflow.
    uri = outcome.tracking_uri if load_saved_plan(folder)["sweep"].get("tracking_uri") else default_uri(folder.storage)
    return with_waiting_note(replace(outcome, storage=str(folder.storage), tracking_uri=uri), folder)


def with_waiting_note(outcome: Outcome, folder: SweepFolder) -> Outcome:
    """Return the outcome, with a note if and only if events still wait for MLflow."""
    notes = tuple(note for note in outcome.notes if not note.startswith(_AWAY))
    waiting = count_waiting(folder.outbox)
    if not waiting:
        return replace(outcome, notes=notes)
    note = f"{_AWAY}{waiting} events wait in {folder.path}; `{folder.command('resume')}` delivers them"
    return replace(outcome, notes=(*notes, note))


def load_saved_plan(folder: SweepFolder) -> SavedPlan:
    """Return the content of a sweep's `plan.json`.

    Raises:
        PlanError: if there is no sweep of that name, or its plan is damaged.
    """
    if not folder.plan.is_file():
        others = sorted(file.parent.name for file in folder.storage.glob("*/plan.json"))
        raise PlanError([f"{folder.name}: no such sweep in {folder.storage}; there are: {', '.join(others) or 'none'}"])
    way_out = "restore it from a copy, or run the experiment again under another name"
    saved = _read(folder.plan, way_out)
    if missing := [name for name, kind in _BLOCK_TYPES.items() if not isinstance(saved.get(name), kind)]:
        raise PlanError([f"{folder.plan}: is damaged, or of another version: lacks {', '.join(missing)}; {way_out}"])
    complete_older_plan(saved)
    return cast(SavedPlan, saved)


def data_roots(saved: SavedPlan, storage: Path) -> tuple[Path, ...]:
    """Return the folders in which a sweep's relative data files are looked up.

    A folder above or below the storage folder may have been moved or copied together with it. For such a folder, the
    new path comes first and the original path second.
    """
    before = Path(saved["storage"]) if "storage" in saved else None
    roots: list[Path] = []
    for root in map(Path, saved["roots"]):
        if before and (root.is_relative_to(before) or before.is_relative_to(root)):
            roots.append(Path(os.path.normpath(storage.absolute() / os.path.relpath(root, before))))
        roots.append(root)
    return tuple(dict.fromkeys(roots))


def create_sweep_folder(folder: SweepFolder, saved: SavedPlan) -> DriverLock:
    """Create a sweep's folder with its plan, atomically; return the lock that allows this process to run the sweep.

    Raises:
        FileExistsError: if another process has created a file or folder of that name in the meantime.
    """
    locks: list[DriverLock] = []

    def fill(into: Path) -> None:
        _write_plan(into / folder.plan.name, saved)
        locks.append(DriverLock(into))  # before other processes can see the folder

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
    """Store the blocks of an experiment that a session has changed; delete the outcome, which is no longer valid."""
    saved = load_saved_plan(folder)
    # The roots of the first session stay.
    blocks = {name: value for name, value in experiment.items() if name != "roots"}
    changed = cast(SavedPlan, {**saved, **json.loads(json.dumps(blocks))})
    if changed != saved:
        # In this order, a plan with more trials never exists beside an outcome that says the sweep is complete.
        folder.outcome.unlink(missing_ok=True)
        save_plan(folder, changed)


def save_plan(folder: SweepFolder, saved: SavedPlan) -> None:
    """Write a sweep's plan, if it differs from the stored one."""
    if saved != load_saved_plan(folder):
        write_file(folder.plan, lambda into: _write_plan(into, saved))


def _write_plan(into: Path, saved: SavedPlan) -> None:
    """Write a plan; if it contains a password, only its owner can read the file."""
    text = json.dumps(saved, indent=1)
    mode = 0o600 if redact(text) != text else 0o666
    with open(into, "x", encoding="utf-8", opener=lambda path, flags: os.open(path, flags, mode)) as file:
        file.write(text)


def _read(file: Path, way_out: str) -> dict[str, Any]:
    """Return the JSON object of a file that a sweep wrote."""
    if not file.is_file():  # reading a pipe would wait forever
        raise PlanError([f"{file}: is not a regular file; {way_out}"])
    try:
        data = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise PlanError([f"{file}: is damaged: {error!s:.200}; {way_out}"]) from None
    if not isinstance(data, dict):
        raise PlanError([f"{file}: is damaged: is not a JSON object; {way_out}"])
    return data
