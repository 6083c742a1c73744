"""Commands that write and use models."""

import json
import os
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Literal

import typer
from rich.console import Console

from search.commands.options import AsJson, Set, SetData, Storage, SweepName, pairs, readable_errors
from search.export.formats.about import FormatChoice
from trainable.errors import ConfigError


def export(
    name: SweepName,
    to: Annotated[Path, typer.Option(help="New folder for the model.")],
    trial: Annotated[int | None, typer.Option(help="Number of a trial; default: the winner.")] = None,
    seed: Annotated[int | None, typer.Option(help="One of the trial's seeds; default: the best on validation.")] = None,
    format: Annotated[
        FormatChoice,
        typer.Option(help="Format; auto: the first of hf, sentence-transformers and bi-encoder that can hold it."),
    ] = "auto",
    quantize: Annotated[Literal["int8"] | None, typer.Option(help="With --format onnx: 8-bit integers.")] = None,
    prune: Annotated[
        str | None,
        typer.Option(help="layers=N: remove N layers; with --format onnx also heads=F, a fraction of all heads."),
    ] = None,
    max_loss: Annotated[
        float, typer.Option(min=0, help="Most that --prune and --quantize may worsen the sweep's metric on validation.")
    ] = 0.01,
    storage: Storage = Path("runs"),
    set_: Set = None,
    as_json: AsJson = False,
) -> None:
    """Write the winning model to a folder that other tools load, and check that its logits are the same."""
    with readable_errors():
        from search.export.exportable import choose
        from search.export.smaller.options import smaller_from

        smaller = smaller_from(prune, quantize, max_loss, format)
        chosen = replace(choose(name, storage, to, trial, pairs(set_), seed, format), smaller=smaller)
        if prune and chosen.format == "skops":
            raise ConfigError(f"--prune {prune}: the winner is a baseline without an encoder; name a trial")
        from search.export.export import export_trial  # imports torch: only after the arguments are checked

        exported = export_trial(chosen)
        if as_json:
            print(json.dumps(exported.to_json()))
        else:
            exported.print(Console())


def register(
    name: SweepName,
    model: Annotated[str, typer.Argument(help="Name of the registered model.")],
    alias: Annotated[str | None, typer.Option(help="Alias of the new version, such as champion.")] = None,
    trial: Annotated[int | None, typer.Option(help="Number of a trial; default: the winner.")] = None,
    storage: Storage = Path("runs"),
) -> None:
    """Register the winning model in MLflow, which serves it."""
    with readable_errors(), TemporaryDirectory() as folder:
        from search.export.exportable import choose

        chosen = choose(name, storage, Path(folder) / "model", trial)
        from search.export.export import export_trial
        from search.serve.register import register as register_folder  # imports torch and MLflow

        export_trial(chosen)
        print("\n".join(register_folder(chosen, model, alias).lines()))


def predict(
    model: Annotated[Path, typer.Argument(help="Folder that `export` wrote.")],
    file: Annotated[Path, typer.Argument(help="CSV, TSV, JSON or Parquet file with the model's text columns.")],
    output: Annotated[
        Path | None, typer.Option(help="CSV, TSV, JSON or JSON lines file to write; default: CSV to stdout.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
    set_: SetData = None,
) -> None:
    """Predict labels for the texts of a file; the output has its rows, a label and a probability for each class."""
    with readable_errors():
        if output is not None and not force and os.path.lexists(output):
            raise ConfigError(f"--output {output}: exists; name another file, or replace it with --force")
        from search.export.predict import predict_file

        predict_file(model, file, output, pairs(set_))


def evaluate(
    model: Annotated[Path, typer.Argument(help="Folder that `export` wrote.")],
    file: Annotated[Path, typer.Argument(help="File with the model's columns of texts and labels.")],
    metric: Annotated[str | None, typer.Option(help="Metric with an interval; default: the first of the task.")] = None,
    set_: SetData = None,
    as_json: AsJson = False,
) -> None:
    """Score a model on the labelled rows of any file: scores, confusions, most confident mistakes."""
    with readable_errors():
        from search.export.evaluate import evaluate_file

        evaluation = evaluate_file(model, file, pairs(set_), metric)
        if as_json:
            print(json.dumps(evaluation.to_json()))
        else:
            evaluation.print(Console())


def serve(
    model: Annotated[Path, typer.Argument(help="Folder that `export` wrote.")],
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0: all of this machine.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0: a free one.")] = 8000,
) -> None:
    """Answer HTTP requests with a model: POST /predict, GET /health; the page /docs describes them."""
    with readable_errors():
        from search.serve.server import serve_folder

        serve_folder(model, host, port)
