"""The command `transfersweep` with one part of search/startup switched off: `startup_parts.py PART run quickstart ...`.

It imports nothing before the command would, so that the time of imports is the command's own.
"""

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

ALL = "all parts"


def without_dry_run_process() -> None:
    """The preflight's batch is a Ray task, and source stages are trained by trials."""
    start = importlib.import_module("search.engine.start")
    original: Callable[..., Any] = start.start_sweep
    start.start_sweep = lambda plan, storage, address=None, dry_run_process=None: original(plan, storage, address)


def without_first_source() -> None:
    """The source stage is trained by a trial."""
    importlib.import_module("search.startup.dry_run_process")._first_trial = lambda plan: None


def without_slot_imports() -> None:
    """Processes of slots import what they need when they get a trial; before, one module that is there anyway."""
    importlib.import_module("search.startup.slots").IMPORTS = "os"


def without_idle_time() -> None:
    """Ray ends processes that wait for their first trial for longer than a second, as it does by itself."""
    importlib.import_module("search.startup.slots").IDLE_SECONDS = 1.0


def without_memory() -> None:
    """Slots take and give back memory as glibc does by itself."""
    importlib.import_module("search.startup.slots").MALLOC_VARIABLES = {}


def without_background() -> None:
    """The driver waits for Ray before it imports what a search needs."""
    start = importlib.import_module("search.engine.start")
    original: Callable[..., Any] = start._run

    def run(*arguments: Any) -> Any:
        connection = importlib.import_module("search.cluster.connection")
        starting = connection.starting

        @contextmanager
        def and_waiting(address: str | None, settings: Any) -> Iterator[None]:
            with starting(address, settings):
                connection.join(address, settings)
                yield

        connection.starting = and_waiting
        return original(*arguments)

    start._run = run


def without_rare_collections() -> None:
    """The driver collects garbage as Python does by itself."""
    importlib.import_module("search.__main__").rare_garbage_collection = nullcontext


PARTS: dict[str, Callable[[], None]] = {
    "dry run process": without_dry_run_process,
    "first source stage": without_first_source,
    "slot imports": without_slot_imports,
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
