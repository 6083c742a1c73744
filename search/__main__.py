"""The command line: the list of its commands, and how its process begins and ends."""

import signal
from collections.abc import Callable
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

COMMANDS: dict[str, Callable[..., None]] = {
    **{"inspect": files.inspect, "init": files.init, "doctor": sweeps.doctor, "rank": sweeps.rank},
    **{"run": sweeps.run, "resume": sweeps.resume, "extend": sweeps.extend},
    **{"list": results.list_sweeps, "show": results.show, "report": results.report},
    **{"suggest": files.suggest, "watch": results.watch, "ui": results.ui},
    **{"export": models.export, "register": models.register, "predict": models.predict, "evaluate": models.evaluate},
    "serve": models.serve,
    **{"submit": clusters.submit, "status": clusters.status, "logs": clusters.logs},
    **{"stop": clusters.stop, "fetch": clusters.fetch},
    "schema": files.schema,
}
"""The commands by their names, in the order of `transfersweep --help`."""
for name, command in COMMANDS.items():
    app.command(name)(command)


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
