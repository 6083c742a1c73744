"""Labels the rows of a table with an exported model: `transfersweep predict`."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, ValidationError

from search.export.predictions_file import Labelled, check_output, write_labelled
from search.show.data_settings import dataset_of
from trainable.data.checks.texts import check_texts, empty_rows
from trainable.data.examples import Examples
from trainable.data.message_text import rows_with
from trainable.data.reading.raw_table import RawTable
from trainable.data.reading.read_tables import read_tables
from trainable.errors import ConfigError
from trainable.model.pretrained import check_folder, check_weights, load_classifier, load_tokenizer
from trainable.settings.dataset import Dataset, Empty

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def predict_file(model: Path, file: Path, output: Path | None, settings: Mapping[str, str] | None = None) -> None:
    """Write the rows of a file, in their order, with a label and probabilities beside them.

    The columns `predicted`, `probability` (of that label) and `p_CLASS` for each class follow the file's own. They
    stay empty for a row without a text where the model's data left such rows out (`empty: drop`).

    Args:
        model: a folder that `export_trial` wrote.
        file: CSV, TSV, JSON or Parquet with the text columns that the model was trained on; labels not needed.
        output: the file to write, CSV, TSV, JSON or JSON lines by its suffix; none means CSV to stdout.
        settings: how the file is read, as YAML text: `separator`, `quoting`, `encoding` and `empty`; the last one is
            the model's where it is not given.

    Raises:
        ConfigError: if the folder is not an export, the output's format is not known, a column is missing, the file
            has a column that this adds, or a row has no text and `empty` does not allow that.
    """
    if output is not None:
        check_output(output)
    dataset = _dataset(file, settings or {})
    facts = _facts(model)
    raw = read_tables(dataset, (Path(),))["train"]
    empty = dataset.empty if "empty" in dataset.model_fields_set else facts.settings.dataset.empty
    texts, rows, notes = _texts(raw, facts.text_columns, empty)
    for note in [*raw.notes, *notes]:
        print(f"Note: {note}", file=sys.stderr)
    _check_free(raw, _added(facts.label_names))
    chosen = [[cells[row] for row in rows] for cells in texts]
    probabilities = _probabilities(model, chosen, facts).tolist() if rows else []
    write_labelled(_labelled(raw, dict(zip(rows, probabilities, strict=True)), facts.label_names), output)


_READING = ("separator", "quoting", "encoding", "empty")
"""Settings of a data set that say how a file is read; the model decides all others."""


class _Data(BaseModel):
    empty: Empty = "error"  # older exports do not have the setting and were trained so


class _Settings(BaseModel):
    padding_length: Annotated[int, Field(alias="target.padding_length", ge=4)]
    dataset: Annotated[_Data, Field(alias="target.dataset")] = _Data()


class _Facts(BaseModel):
    """The part of an export's trial.json that `predict` needs."""

    text_columns: Annotated[list[str], Field(min_length=1, max_length=2)]
    label_names: Annotated[list[str], Field(min_length=1)]
    settings: _Settings


def _facts(model: Path) -> _Facts:
    file = model / "trial.json"
    if not file.is_file():
        raise ConfigError(f"{model}: is not a folder that `transfersweep export` wrote (no trial.json in it)")
    try:
        return _Facts.model_validate_json(file.read_bytes())
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from None
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'it'}: {e['msg']}" for e in error.errors())
        raise ConfigError(f"{file}: is damaged: {wrong:.300}; export the model again") from None


def _dataset(file: Path, settings: Mapping[str, str]) -> Dataset:
    if strange := [name for name in settings if name not in _READING]:
        raise ConfigError([f"--set {name}: `predict` takes only {', '.join(_READING)}" for name in strange])
    return dataset_of({"train": str(file)}, settings)


def _texts(raw: RawTable, columns: Sequence[str], empty: Empty) -> tuple[list[list[str]], list[int], list[str]]:
    """Return the texts by column, the rows (0-based) to be labelled, and notes on empty texts."""
    there = ", ".join(map(repr, raw.columns))
    problems = [
        f"{raw.source}: no column {column!r}, which this model reads; there are {there:.300}; rename one in the file"
        for column in columns
        if column not in raw.columns
    ]
    texts = [raw.cells(column) for column in columns if column in raw.columns]
    labelled, notes = np.ones(raw.rows, dtype=bool), []
    done = "labelled" if empty == "keep" else "written without a label"
    for column, cells in zip([c for c in columns if c in raw.columns], texts, strict=True):
        problems += check_texts(raw, column, cells)[1]
        without = empty_rows(cells)
        if without and empty == "error":
            ways = (
                "fill such rows, or `--set empty=keep` to label them, `--set empty=drop` to write them without a label"
            )
            problems.append(f"{rows_with(raw, without, f'no text in column {column!r}')}; {ways}")
        elif without:
            notes.append(f"{rows_with(raw, without, f'no text in column {column!r}')}; {done} (`empty: {empty}`)")
            labelled[without] = empty == "keep"
    if problems:
        raise ConfigError(problems)
    return (
        [["" if cell is None else cell for cell in cells] for cells in texts],
        np.flatnonzero(labelled).tolist(),
        notes,
    )


def _added(labels: Sequence[str]) -> list[str]:
    return ["predicted", "probability", *(f"p_{label}" for label in labels)]


def _check_free(raw: RawTable, added: Sequence[str]) -> None:
    if taken := [column for column in added if column in raw.columns]:
        raise ConfigError(
            f"{raw.source}: has the columns {', '.join(map(repr, taken))} already, which this command adds; "
            "rename or remove them"
        )


def _probabilities(folder: Path, texts: list[list[str]], facts: _Facts) -> NDArray[np.float32]:
    """Return the probability of each class, shape (N, C); batches hold rows of similar lengths."""
    # Imported here, so that a wrong file name is reported without waiting for torch.
    import torch
    from transformers.utils import logging as transformers_logging

    from trainable.compute.device import pick_device
    from trainable.inputs.token_inputs import TokenInputs
    from trainable.inputs.tokens import tokenize
    from trainable.loop.evaluate import compute_logits

    transformers_logging.disable_progress_bar()
    model, tokenizer = _load(folder, len(facts.label_names)), load_tokenizer(str(folder))
    count = len(texts[0])
    table = Examples(texts[0], texts[1] if len(texts) > 1 else None, np.zeros(count, dtype=np.int64))
    inputs = TokenInputs(tokenize(tokenizer, table), np.arange(count), facts.settings.padding_length, fixed=False)
    device = pick_device()
    logits = compute_logits(torch.nn.Module.to(model, device), inputs, device)
    return torch.softmax(logits, dim=-1).numpy()


def _load(folder: Path, classes: int) -> "PreTrainedModel":
    what = f"{folder}: the model"
    check_folder(folder, what)
    check_weights(folder, what)
    model, differences = load_classifier(str(folder), what)
    if strange := sorted(differences.new | differences.unused):
        raise ConfigError(
            f"{what}: its weights are not those of its config.json: {len(strange)} tensors differ, such as "
            f"{strange[0]}; export it again"
        )
    if model.config.num_labels != classes:
        raise ConfigError(
            f"{what}: config.json has {model.config.num_labels} labels, trial.json {classes}; export it again"
        )
    return model


def _labelled(raw: RawTable, probabilities: Mapping[int, list[float]], labels: Sequence[str]) -> Labelled:
    """Return every row of the file; a row without probabilities gets no label."""
    columns = [raw.cells(column, named=True) for column in raw.columns]

    def rows() -> Iterator[tuple[list[Any], str | None, list[float | None]]]:
        for row in range(raw.rows):
            cells, chances = [column[row] for column in columns], probabilities.get(row)
            if chances is None:
                yield cells, None, [None] * (1 + len(labels))
            else:
                best = int(np.argmax(chances))
                yield cells, labels[best], [chances[best], *chances]

    return Labelled([*raw.columns, *_added(labels)], rows())
