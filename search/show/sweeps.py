"""Lists the sweeps of a storage folder, from their files alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text

from search.errors import PlanError
from search.show.text_table import text_table
from search.storage.driver_lock import driver_of
from search.storage.sweep_folder import SweepFolder, load_outcome
from search.wording import format_score
from trainable.errors import ConfigError


@dataclass(frozen=True)
class ListedSweep:
    """What the list says of one sweep."""

    name: str
    state: str
    """`finished`, `running`, `unfinished` (no process runs it; `resume` continues it) or `damaged`."""
    trials: int | None = None
    """Trials of the search; None unless it has finished."""
    metric: str | None = None
    validation: float | None = None
    """The winner's score; None without one."""
    test: float | None = None


def sweeps_in(storage: Path) -> list[ListedSweep]:
    """Return the sweeps of a storage folder, in the order of their names.

    Raises:
        ConfigError: if there is no such folder.
    """
    if not storage.is_dir():
        raise ConfigError(f"--storage {storage}: there is no such folder; `transfersweep run` makes it")
    return [_listed(SweepFolder(storage, file.parent.name)) for file in sorted(storage.glob("*/plan.json"))]


def _listed(folder: SweepFolder) -> ListedSweep:
    try:
        outcome = load_outcome(folder)
    except PlanError:
        return ListedSweep(folder.name, "damaged")
    if outcome is None or not outcome.complete:
        return ListedSweep(folder.name, "running" if driver_of(folder.path) else "unfinished")
    return ListedSweep(
        name=folder.name,
        state="finished",
        trials=len(outcome.searched),
        metric=outcome.metric,
        validation=outcome.validation.mean if outcome.validation else None,
        test=outcome.test.metrics[outcome.metric] if outcome.test else None,
    )


def print_sweeps(sweeps: list[ListedSweep], storage: Path, console: Console) -> None:
    """Print a table of the sweeps."""
    if not sweeps:
        console.print(Text(f"No sweep in {storage}."))
        return
    table = text_table("sweep", "state", "trials", "metric", "validation", "test", gap=2)
    for each in sweeps:
        trials = "" if each.trials is None else str(each.trials)
        scores = ["" if score is None else format_score(score) for score in (each.validation, each.test)]
        table.add_row(Text(each.name), each.state, trials, each.metric or "", *scores)
    console.print(table)
