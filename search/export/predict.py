"""Labels the rows of a table with an exported model of any format: `transfersweep predict`."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from search.export.facts import FolderFacts, read_facts
from search.export.predictions_file import Labelled, check_output, write_labelled
from search.export.table_in import rows_for_model
from search.show.data_settings import READING, check_names, dataset_of
from trainable.answers.answer import Answers, Cell
from trainable.data.reading.image_folders import read_all_images
from trainable.data.reading.raw_table import RawTable
from trainable.data.reading.read_tables import read_tables
from trainable.errors import ConfigError
from trainable.settings.dataset import Dataset

_WITHOUT_TEXT = "fill such rows, or `--set empty=keep` to label them, `--set empty=drop` to leave them without a label"
_WITHOUT_IMAGE = "remove such rows, or `--set empty=drop` to leave them without a label"


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
    empty = dataset.empty if "empty" in dataset.model_fields_set else None
    found = rows_for_model(raw, facts, _WITHOUT_IMAGE if reads_images else _WITHOUT_TEXT, empty)
    for note in [*raw.notes, *found.notes]:
        print(f"Note: {note}", file=sys.stderr)
    _check_free(raw, answers.columns())
    values = _values(model, found.cells, facts).tolist() if found.rows else []
    write_labelled(_labelled(raw, dict(zip(found.rows, values, strict=True)), answers), output)


def _dataset(file: Path, settings: Mapping[str, str]) -> Dataset:
    check_names(settings, READING, "predict")
    return dataset_of({"train": str(file)}, settings)


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
