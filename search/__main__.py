"""The command line: the list of its commands, and how its process begins and ends."""

import signal

import typer

from search.commands import clusters, files, models, results, sweeps
from search.startup.garbage_collection import rare_garbage_collection
from search.streams import allow_any_character

app = typer.Typer(
    name="transfersweep",
    help="Search the best settings for transfer learning from a source task to a target task.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

# In the order of `transfersweep --help`.
for command in (
    *(files.inspect, files.init, sweeps.doctor, sweeps.rank),
    *(sweeps.run, sweeps.resume, sweeps.extend),
    *(results.show, results.ui),
    *(models.export, models.register, models.predict, models.evaluate),
    *(clusters.submit, clusters.status, clusters.logs, clusters.stop, clusters.fetch),
    files.schema,
):
    app.command()(command)


def main() -> None:
    """Run the command line."""
    allow_any_character()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as for Ctrl-C, so that started processes end too
    with rare_garbage_collection():
        app()


if __name__ == "__main__":
    main()
