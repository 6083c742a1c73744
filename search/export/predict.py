"""Labels the rows of a table with an exported model of any format: `transfersweep predict`."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.export.facts import FolderFacts, read_facts
from search.export.predictions_file import Labelled, check_output, write_labelled
from search.show.data_settings import READING, check_names, dataset_of
from trainable.answers.answer import Answers, Cell
from trainable.data.checks.images import find_images
from trainable.data.checks.texts import check_texts, empty_rows, joined_words
from trainable.data.choices import joined_choices
from trainable.data.message_text import rows_with
from trainable.data.reading.image_folders import read_all_images
from trainable.data.reading.raw_table import RawTable
from trainable.data.reading.read_tables import read_tables
from trainable.errors import ConfigError
from trainable.settings.dataset import Dataset, Empty


def predict_file(model: Path, file: Path, output: Path | None, settings: Mapping[str, str] | None = None) -> None:
    """Write the rows of a file, in their order, with the model's answer beside them.

    The file's own columns are followed by `predicted` and what else the model's task gives: of a classification
    `probability` (of that label) and `p_CLASS` for each class. They stay empty for a row without a text where the
    model's data left such rows out (`empty: drop`).

    Args:
        model: a folder that `export_trial` wrote.
        file: CSV, TSV, JSON or Parquet with the text or image columns that the model was trained on; labels not
            needed. For a model of images also a folder, of which every image is a row.
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
    facts = read_facts(model)
    answers = facts.answers()
    reads_images = answers.content == "image"
    if reads_images and file.is_dir():
        raw = read_all_images(file, str(file), facts.text_columns[0])
    else:
        raw = read_tables(dataset, (Path(),))["train"]
    empty = dataset.empty if "empty" in dataset.model_fields_set else facts.settings.dataset.empty
    if reads_images:
        texts, rows, notes = _images(raw, facts.text_columns[0], empty)
    else:
        texts, rows, notes = _texts(raw, facts.text_columns, empty, answers)
    for note in [*raw.notes, *notes]:
        print(f"Note: {note}", file=sys.stderr)
    _check_free(raw, answers.columns())
    chosen = [[cells[row] for row in rows] for cells in texts]
    values = _values(model, chosen, facts).tolist() if rows else []
    write_labelled(_labelled(raw, dict(zip(rows, values, strict=True)), answers), output)


def _dataset(file: Path, settings: Mapping[str, str]) -> Dataset:
    check_names(settings, READING, "predict")
    return dataset_of({"train": str(file)}, settings)


def _missing(raw: RawTable, columns: Sequence[str]) -> list[str]:
    there = ", ".join(map(repr, raw.columns))
    return [
        f"{raw.source}: no column {column!r}, which this model reads; there are {there:.300}; rename one in the file"
        for column in columns
        if column not in raw.columns
    ]


def _images(raw: RawTable, column: str, empty: Empty) -> tuple[list[list[Any]], list[int], list[str]]:
    """Return the images as the only column, the rows (0-based) to be labelled, and notes on rows without an image."""
    if problems := _missing(raw, [column]):
        raise ConfigError(problems)
    found, problems = find_images(raw, column)
    without, notes = [row for row, image in enumerate(found) if image is None], []
    if without and empty == "error":
        ways = "remove such rows, or `--set empty=drop` to write them without a label"
        problems.append(f"{rows_with(raw, without, f'no image in column {column!r}')}; {ways}")
    elif without:
        notes = [f"{rows_with(raw, without, f'no image in column {column!r}')}; written without a label"]
    if problems:
        raise ConfigError(problems)
    return [found], [row for row, image in enumerate(found) if image is not None], notes


def _texts(
    raw: RawTable, columns: Sequence[str], empty: Empty, answers: Answers
) -> tuple[list[list[str]], list[int], list[str]]:
    """Return the texts by column, the rows (0-based) to be labelled, and notes on empty texts."""
    problems = _missing(raw, columns)
    columns, texts = _cells(raw, [column for column in columns if column in raw.columns], answers)
    labelled, notes = np.ones(raw.rows, dtype=bool), []
    done = "labelled" if empty == "keep" else "written without a label"
    for column, cells in zip(columns, texts, strict=True):
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


def _cells(raw: RawTable, columns: Sequence[str], answers: Answers) -> tuple[Sequence[str], list[list[Any]]]:
    """Return the names and the cells of the one or two texts of each row."""
    cells = [raw.cells(column) for column in columns]
    if answers.lists_choices and len(cells) > 1:
        return [columns[0], ", ".join(columns[1:])], [cells[0], joined_choices(cells[1:])]
    if answers.head == "every_token":
        cells = [[joined_words(cell) for cell in column] for column in cells]
    return columns, cells


def _check_free(raw: RawTable, added: Sequence[str]) -> None:
    if taken := [column for column in added if column in raw.columns]:
        raise ConfigError(
            f"{raw.source}: has the columns {', '.join(map(repr, taken))} already, which this command adds; "
            "rename or remove them"
        )


def _values(folder: Path, texts: list[list[Any]], facts: FolderFacts) -> NDArray[Any]:
    """Return the values of each row, such as the probability of each class, shape (N, C)."""
    # Imported here, so that a wrong file name is reported without waiting for torch.
    from search.export.classifier import Classifier

    return Classifier.load(folder, facts).values(texts)


def _labelled(raw: RawTable, values: Mapping[int, list[float]], answers: Answers) -> Labelled:
    """Return every row of the file; a row without values gets no answer."""
    columns, added = [raw.cells(column, named=True) for column in raw.columns], answers.columns()

    def rows() -> Iterator[tuple[list[Any], Cell | None, list[float | None]]]:
        for row in range(raw.rows):
            cells = [column[row] for column in columns]
            if row in values:
                predicted, probabilities = answers.cells(values[row])
                yield cells, predicted, [*probabilities]
            else:
                yield cells, None, [None] * (len(added) - 1)

    return Labelled([*raw.columns, *added], rows())
