"""The command line: the list of its commands, and how its process begins and ends."""

import signal
from importlib.metadata import version
from typing import Annotated

import typer

from search.commands import clusters, files, models, results, sweeps
from search.startup.garbage_collection import rare_garbage_collection
from search.streams import allow_any_character

app = typer.Typer(
    name="transfersweep",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)

_NAMES = {results.list_sweeps: "list"}  # `list` is a name of Python's own
# In the order of `transfersweep --help`.
for command in (
    *(files.inspect, files.init, sweeps.doctor, sweeps.rank),
    *(sweeps.run, sweeps.resume, sweeps.extend),
    *(results.list_sweeps, results.show, results.ui),
    *(models.export, models.register, models.predict, models.evaluate),
    *(clusters.submit, clusters.status, clusters.logs, clusters.stop, clusters.fetch),
    files.schema,
):
    app.command(_NAMES.get(command))(command)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"transfersweep {version('transfersweep')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Search the best settings for transfer learning from a source task to a target task.

    From a table to a model: init DATA.csv, run DATA.yaml, export NAME --to FOLDER, predict FOLDER NEW.csv.
    """


def main() -> None:
    """Run the command line."""
    allow_any_character()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as for Ctrl-C, so that started processes end too
    with rare_garbage_collection():
        app()


if __name__ == "__main__":
    main()
