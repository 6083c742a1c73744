"""The command `doctor`: the checks of a sweep as a list, without running the sweep."""

import json
import os
from functools import partial
from pathlib import Path

from rich.console import Console

from search.check import Check
from search.cluster import connection
from search.cluster.capacity import capacity_for
from search.cluster.workers import wait_for_workers
from search.errors import PlanError
from search.plan.data import check_data, summarise_data, summarise_encoders
from search.plan.plan import Plan
from search.preflight.preflight import Preflight, tracking_check
from search.redirect_output import output_to_file
from search.storage.sweep_folder import check_storage
from trainable.errors import ConfigError

MARKS = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "error": ("✗", "red")}


def examine(plan: Plan, storage: Path, address: str | None = None) -> list[Check]:
    """Make every check of a sweep, up to the first error that prevents the next one.

    It leaves behind the data's tokens and the tables of the tracking database, which the sweep can use.

    Args:
        plan: the experiment.
        storage: the folder of all sweeps.
        address: a running Ray cluster to join; None starts Ray here.
    """
    found: list[Check] = []
    try:
        check_storage(storage)
        with output_to_file(Path(os.devnull)) as console:
            prepared = check_data(plan, storage)
            found += [summarise_data(prepared), summarise_encoders(plan)]
            found += _on_cluster(plan, storage, address, console)
    except (ConfigError, PlanError) as error:
        found.append(Check("data" if isinstance(error, PlanError) else "start", "error", error.problems))
    return found


def _on_cluster(plan: Plan, storage: Path, address: str | None, console: Console) -> list[Check]:
    try:
        show = partial(console.print, markup=False, soft_wrap=True)
        connection.join(address, plan.settings, show)
        if address:
            wait_for_workers(plan.settings, show)
        preflight = Preflight(plan, storage, capacity_for(plan.settings))
        return [tracking_check(plan, storage), *preflight.checks()]
    finally:
        connection.leave()


def print_checks(checks: list[Check], console: Console) -> None:
    """Print a mark and the sentences of each check."""
    plain = not console.encoding.startswith("utf")
    for check in checks:
        mark, style = MARKS[check.state]
        mark = check.state if plain else mark
        for index, sentence in enumerate(check.sentences):
            head = f"{mark} {check.name:<10}" if index == 0 else " " * (len(mark) + 11)
            console.print(head, style=style, end="", markup=False, highlight=False)
            console.print(sentence, markup=False, highlight=False, soft_wrap=True)


def to_json(checks: list[Check]) -> str:
    """Return the checks as one line of JSON for scripts."""
    listed = [{"check": c.name, "state": c.state, "sentences": c.sentences} for c in checks]
    return json.dumps({"ok": all(c.state != "error" for c in checks), "checks": listed})
