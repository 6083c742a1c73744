"""Commands that show what sweeps have found."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from search.commands.options import (
    SHARED,
    AsJson,
    ClusterStorage,
    Set,
    Storage,
    SweepName,
    pairs,
    print_result,
    readable_errors,
)
from trainable.errors import ConfigError


def list_sweeps(storage: Storage = Path("runs"), as_json: AsJson = False) -> None:
    """List the sweeps of a storage folder: state, trials, and the winner's score."""
    with readable_errors():
        from search.show.sweeps import print_sweeps, sweeps_in

        found = sweeps_in(storage)
        if as_json:
            print(json.dumps([asdict(each) for each in found]))
        else:
            print_sweeps(found, storage, Console())


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


def report(
    name: SweepName,
    storage: Storage = Path("runs"),
    to: Annotated[Path | None, typer.Option(help="File to write; default: report.html in the sweep's folder.")] = None,
) -> None:
    """Write the report of a sweep, finished or not: one HTML page that needs no network."""
    with readable_errors():
        from search.show.current import current_outcome

        outcome = current_outcome(name, storage)
        from search.report.page import write_report  # imports Plotly: only for a sweep that exists
        from search.storage.sweep_folder import SweepFolder

        folder = SweepFolder(storage, name)
        file = to or folder.report
        write_report(outcome, folder, file)
        print(file)


def watch(
    name: SweepName,
    storage: Storage = Path("runs"),
    port: Annotated[int, typer.Option(help="Port on this machine to listen on; 0: a free one.")] = 8321,
) -> None:
    """Serve the report of a running sweep on this machine; the page loads itself again."""
    with readable_errors():
        from search.storage.sweep_folder import SweepFolder, load_saved_plan

        folder = SweepFolder(storage, name)
        load_saved_plan(folder)  # refuses a name that no sweep has
        from search.report.watch import report_server  # imports Plotly: only for a sweep that exists

        with report_server(folder, port) as server:
            print(f"Report of {name} on http://127.0.0.1:{server.server_port} (end with Ctrl-C)", file=sys.stderr)
            server.serve_forever()


def ui(
    name: Annotated[str | None, typer.Argument(help="Sweep to show; default: the newest.")] = None,
    storage: Storage = Path("runs"),
    uri: Annotated[str | None, typer.Option(help="Tracking URI; default: the sweep's, or the storage's.")] = None,
    port: Annotated[int, typer.Option(help="Port on this machine to listen on.")] = 5000,
    browser: Annotated[bool, typer.Option(help="Open the page in a browser, where there is a screen.")] = True,
    cluster: Annotated[
        Path | None, typer.Option(help="Show the page of a cluster: the file that was given to `ray up`.")
    ] = None,
    cluster_storage: ClusterStorage = SHARED,
) -> None:
    """Start the MLflow UI, and show the trials of a sweep there, best first."""
    with readable_errors():
        if cluster:
            if uri:
                raise ConfigError("--uri: give either it or --cluster, whose page is that of the cluster's storage")
            from search.jobs.mlflow_page import show_page_of_cluster
            from search.jobs.remote import Cluster

            raise typer.Exit(show_page_of_cluster(Cluster(cluster, cluster_storage), name, port, browser))
        from search.show.mlflow_page import show_page

        raise typer.Exit(show_page(storage, uri, name, port, browser))
