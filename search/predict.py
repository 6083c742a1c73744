"""Labels the rows of a table with an exported model: `transfersweep predict`."""

import csv
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from transformers import AutoModelForSequenceClassification, PreTrainedModel
from transformers.utils import logging as chatter

from trainable.checks import check_texts
from trainable.config import Dataset
from trainable.device import pick_device
from trainable.errors import ConfigError
from trainable.evaluate import predict
from trainable.inputs import TokenInputs
from trainable.prepare import load_tokenizer
from trainable.raw import RawTable
from trainable.reading import read_raw
from trainable.tables import Table
from trainable.tokens import tokenize


def predict_file(model: Path, file: Path, output: Path | None) -> None:
    """Write the rows of a file, in their order, with a label and probabilities beside them.

    The columns `predicted`, `probability` (of that label) and `p_CLASS` for each class follow the file's own.

    Args:
        model: a folder that `export_trial` wrote.
        file: CSV, TSV, JSON lines or Parquet with the text columns that the model was trained on; labels not needed.
        output: the CSV file to write (TSV by its suffix); none means stdout.

    Raises:
        ConfigError: if the folder is no export, a column is missing or taken, or a row has no text.
    """
    chatter.disable_progress_bar()
    if output is not None and not output.absolute().parent.is_dir():
        raise ConfigError(f"--output {output}: there is no folder {output.absolute().parent}; make it first")
    if output is not None and output.exists() and not output.is_file():
        raise ConfigError(f"--output {output}: is no plain file; leave --output out for stdout, or name a file")
    facts = _facts(model)
    raw = read_raw(Dataset.model_validate({"train": str(file)}), (Path(),))["train"]
    texts = _texts(raw, facts["text_columns"])
    _check_free(raw, _added(facts["label_names"]))
    probabilities = _probabilities(model, texts, facts["settings"]["target.padding_length"])
    rows = _rows(raw, probabilities, facts["label_names"])
    if output is None:
        _write(sys.stdout, rows)
    else:
        _write_file(output, rows)


def _facts(model: Path) -> dict[str, Any]:
    file = model / "trial.json"
    try:
        facts = json.loads(file.read_text())
        facts["text_columns"], facts["label_names"], facts["settings"]["target.padding_length"]
    except (OSError, ValueError, KeyError, TypeError):
        raise ConfigError(
            f"{model}: is no folder that `transfersweep export` wrote (no such trial.json in it)"
        ) from None
    return dict(facts)


def _texts(raw: RawTable, columns: Sequence[str]) -> list[list[str]]:
    """The texts, by column."""
    there = ", ".join(map(repr, raw.columns))
    problems = [
        f"{raw.source}: no column {column!r}, which this model reads; there are {there:.300}; rename one in the file"
        for column in columns
        if column not in raw.columns
    ]
    texts = [raw.cells(column) for column in columns if column in raw.columns]
    for column, cells in zip([c for c in columns if c in raw.columns], texts, strict=True):
        problems += check_texts(raw, column, cells)[1]
    if problems:
        raise ConfigError(problems)
    return texts


def _added(labels: Sequence[str]) -> list[str]:
    return ["predicted", "probability", *(f"p_{label}" for label in labels)]


def _check_free(raw: RawTable, added: Sequence[str]) -> None:
    if taken := [column for column in added if column in raw.columns]:
        raise ConfigError(
            f"{raw.source}: has the columns {', '.join(map(repr, taken))} already, which this command adds; "
            "rename or remove them"
        )


def _probabilities(folder: Path, texts: list[list[str]], padding_length: int) -> NDArray[np.float32]:
    """Of each class, shape (N, C); batches hold rows of like lengths."""
    model, tokenizer = _load(folder), load_tokenizer(str(folder))
    count = len(texts[0])
    table = Table(texts[0], texts[1] if len(texts) > 1 else None, np.zeros(count, dtype=np.int64))
    inputs = TokenInputs(tokenize(tokenizer, table), np.arange(count), padding_length, fixed=False)
    device = pick_device()
    logits = predict(torch.nn.Module.to(model, device), inputs, device)
    return torch.softmax(logits, dim=-1).numpy()


def _load(folder: Path) -> PreTrainedModel:
    try:
        model: PreTrainedModel = AutoModelForSequenceClassification.from_pretrained(
            folder, trust_remote_code=False, use_safetensors=True, dtype=torch.float32
        )
    except (OSError, ValueError, SafetensorError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ConfigError(f"{folder}: the model cannot be loaded: {reason:.200}; export it again") from None
    return model


def _rows(raw: RawTable, probabilities: NDArray[np.float32], labels: Sequence[str]) -> Iterator[list[str]]:
    """The header, then the file's cells with ours."""
    yield [*raw.columns, *_added(labels)]
    columns = [raw.cells(column, named=True) for column in raw.columns]
    for row, chances in enumerate(probabilities):
        best = int(chances.argmax())
        cells = [_cell(column[row]) for column in columns]
        yield [*cells, labels[best], *(f"{p:.6f}" for p in (chances[best], *chances))]


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False, default=str)


def _write(stream: TextIO, rows: Iterator[list[str]], delimiter: str = ",") -> None:
    csv.writer(stream, delimiter=delimiter, lineterminator="\n").writerows(rows)


def _write_file(output: Path, rows: Iterator[list[str]]) -> None:
    """Write a file that appears whole or not at all."""
    delimiter = "\t" if output.suffix.lower() == ".tsv" else ","
    try:
        handle, partial = tempfile.mkstemp(dir=output.absolute().parent, prefix=f".{output.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="") as stream:
                _write(stream, rows, delimiter)
            os.chmod(partial, 0o644)  # mkstemp makes files that only their owner may read
            os.replace(partial, output)
        finally:
            Path(partial).unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(f"--output {output}: cannot be written: {error.strerror}") from None
