"""Arguments that several commands have, and how every command prints its result and its errors."""

import json
import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from search.errors import PlanError, StoppedError, format_problems
from search.record.records import Outcome
from search.redaction import redact
from spaces import SpaceError, shipped
from trainable.errors import ConfigError, TrialError

Experiment = Annotated[str, typer.Argument(help=f"Experiment file, or a shipped one: {', '.join(shipped())}.")]
Storage = Annotated[Path, typer.Option(help="Folder for all sweeps, their cache and the MLflow database.")]
AsJson = Annotated[bool, typer.Option("--json", help="End with one JSON object on stdout; all else goes to stderr.")]
Address = Annotated[
    str | None, typer.Option(help="Running Ray cluster to join, such as auto; default: start Ray on this machine.")
]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Setting, such as sweep.trials=5.")]
SetData = Annotated[
    list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Data setting, such as text=message.")
]
SweepName = Annotated[str, typer.Argument(help="Name of the sweep.")]
ClusterFile = Annotated[Path, typer.Option("--cluster", help="File that was given to `ray up`.")]
ClusterStorage = Annotated[
    str, typer.Option(help="Folder on the cluster that all its nodes share; it holds the sweeps and what you submit.")
]
SHARED = "~/sweeps"
"""Default of `ClusterStorage`."""


def print_result(outcome: Outcome, as_json: bool) -> None:
    """Print a sweep's state or result: a table, or one JSON object."""
    if as_json:
        print(json.dumps(outcome.to_json()))
        return
    from search.show.report import print_outcome

    print_outcome(outcome, Console())


def pairs(given: list[str] | None) -> dict[str, str]:
    """Return the values of `--set NAME=VALUE` by name.

    Raises:
        ConfigError: if one has no `=`.
    """
    values = {}
    for text in given or []:
        name, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(f"--set {text}: must be NAME=VALUE")
        values[name.strip()] = value
    return values


@contextmanager
def readable_errors() -> Iterator[None]:
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
