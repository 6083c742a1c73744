"""Commands that show what sweeps have found."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from search.commands.options import AsJson, Set, Storage, SweepName, pairs, print_result, readable_errors
from trainable.errors import ConfigError


def show(
    name: SweepName,
    storage: Storage = Path("runs"),
    time: Annotated[bool, typer.Option("--time", help="Print how the time was spent instead.")] = False,
    set_: Set = None,
    as_json: AsJson = False,
) -> None:
    """Print the state or the result of a sweep."""
    with readable_errors():
        from search.show.current import current_outcome
        from search.show.times import print_times

        outcome = current_outcome(name, storage, pairs(set_))
        if time and not as_json:
            print_times(outcome, Console())
        else:
            print_result(outcome, as_json)


def ui(
    storage: Storage = Path("runs"),
    uri: Annotated[str | None, typer.Option(help="Tracking URI; default: the storage's database.")] = None,
    port: Annotated[int, typer.Option(help="Port on this machine to listen on.")] = 5000,
) -> None:
    """Start the MLflow UI with the records of all sweeps of a storage folder."""
    with readable_errors():
        from search.storage.store_uri import default_uri, ui_command

        address = uri or default_uri(storage)
        if uri is None and not (storage / "mlflow.db").is_file():
            raise ConfigError(f"{storage / 'mlflow.db'}: no such file; run a sweep first, or give --storage or --uri")
        command, variables = ui_command(address, port)
        if not command:
            raise ConfigError(f"--uri {address}: is the address of a server; open it in a browser")
        print(f"MLflow UI on http://127.0.0.1:{port} (end with Ctrl-C)", file=sys.stderr)
        os.execvpe(command[0], command, os.environ | variables)
