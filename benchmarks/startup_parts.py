"""Run the command `transfersweep` with one part of search/startup off: `startup_parts.py PART run quickstart ...`.

This module imports nothing that the command would import later, so that the import time is the command's own.
"""

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

ALL = "all parts"


def without_dry_run_process() -> None:
    """Let a Ray task do the dry run, and trials train all source stages."""
    start = importlib.import_module("search.engine.start")
    original: Callable[..., Any] = start.start_sweep
    start.start_sweep = lambda plan, storage, address=None, dry_run_process=None: original(plan, storage, address)


def without_first_source() -> None:
    """Let a trial train the first source stage."""
    importlib.import_module("search.startup.dry_run_process")._first_trial = lambda plan: None


def without_idle_time() -> None:
    """Let Ray end processes that wait longer than a second for their first trial, which is its default."""
    importlib.import_module("search.startup.slots").IDLE_SECONDS = 1.0


def without_memory() -> None:
    """Let slots take and return memory with glibc's default settings."""
    importlib.import_module("search.startup.slots").MALLOC_VARIABLES = {}


def without_background() -> None:
    """Let the driver wait for Ray before it imports the code of a search."""
    start = importlib.import_module("search.engine.start")
    original: Callable[..., Any] = start._run

    def run(*arguments: Any) -> Any:
        connection = importlib.import_module("search.cluster.connection")
        starting = connection.starting

        @contextmanager
        def start_and_wait(address: str | None, settings: Any) -> Iterator[None]:
            with starting(address, settings):
                connection.join(address, settings)
                yield

        connection.starting = start_and_wait
        return original(*arguments)

    start._run = run


def without_rare_collections() -> None:
    """Let the driver collect garbage as often as Python does by default."""
    importlib.import_module("search.__main__").rare_garbage_collection = nullcontext


PARTS: dict[str, Callable[[], None]] = {
    "dry run process": without_dry_run_process,
    "first source stage": without_first_source,
    "idle time": without_idle_time,
    "memory": without_memory,
    "Ray in the background": without_background,
    "rare collections": without_rare_collections,
}


def main() -> None:
    part = sys.argv.pop(1)
    sys.path[0] = str(Path(__file__).parent.parent)
    command = importlib.import_module("search.__main__")
    if part != ALL:
        PARTS[part]()
    command.main()


if __name__ == "__main__":
    main()
