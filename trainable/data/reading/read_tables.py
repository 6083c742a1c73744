"""Finds the files of a data set and reads each one with the reader for its kind."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from trainable.data.reading.arrow_files import read_folder, read_hub, read_parquet
from trainable.data.reading.conll_files import read_conll
from trainable.data.reading.csv_files import read_csv
from trainable.data.reading.encodings import decode
from trainable.data.reading.image_folders import has_saved_table, read_image_folder, read_image_folders
from trainable.data.reading.json_files import read_json
from trainable.data.reading.line_files import read_lines
from trainable.data.reading.raw_table import RawTable
from trainable.data.reading.saved_splits import SPLITS
from trainable.errors import ConfigError
from trainable.settings.dataset import LEFT_OUT, Dataset

KINDS = {".csv": "csv", ".tsv": "csv", ".json": "json", ".jsonl": "json", ".ndjson": "json", ".parquet": "parquet"} | {
    ".conll": "conll",
    ".conllu": "conll",
    ".iob": "conll",
    ".bio": "conll",
    ".txt": "lines",
}
"""Kind of file by the suffix of its name. Except `lines`, the settings have the same names as the kinds."""


def read_tables(dataset: Dataset, data_folders: Sequence[Path]) -> dict[str, RawTable]:
    """Read the tables of a data set, by split. A single table that must still be split is `train`.

    Raises:
        ConfigError: naming, for all files, what cannot be read.
    """
    if dataset.hub:
        return read_hub(dataset.hub, dataset.saved_splits())
    found = find_files(dataset, data_folders)
    if dataset.folder:
        folder, name, splits = found["train"], dataset.folder, dataset.saved_splits()
        images = dataset.has_images and not has_saved_table(folder)
        return read_image_folders(folder, name, splits, dataset) if images else read_folder(folder, name, splits)
    tables: dict[str, RawTable] = {}
    problems: list[str] = []
    for split, name in _files_by_split(dataset).items():
        try:
            tables[split] = _read_file(dataset, found[split], name)
        except ConfigError as error:
            problems += error.problems
        except OSError as error:
            problems.append(f"{name}: cannot be read: {error.strerror or error}")
    if problems:
        raise ConfigError(problems)
    return tables


def _read_file(dataset: Dataset, path: Path, name: str) -> RawTable:
    if path.is_dir():  # `find_files` allows it for images alone
        return read_image_folder(path, name, dataset)
    return replace(_read_table(dataset, path, name), folder=path.parent)


def _read_table(dataset: Dataset, path: Path, name: str) -> RawTable:
    kind = _file_kind(dataset, name)
    if kind == "parquet":
        return read_parquet(path, name)
    text = decode(path.read_bytes(), name, dataset.encoding)
    if kind == "conll":
        return read_conll(text, name)
    if kind == "lines":
        return read_lines(text, name)
    return read_json(text, name) if kind == "json" else read_csv(text, name, dataset.separator, dataset.quoting)


def find_files(dataset: Dataset, data_folders: Sequence[Path]) -> dict[str, Path]:
    """Find the files (or the folder) of a data set, by split; empty for a hub data set.

    Args:
        dataset: the settings.
        data_folders: folders in which relative file names are looked up, in order.

    Raises:
        ConfigError: naming every file that is in none of the data folders or has an unknown kind.
    """
    found: dict[str, Path] = {}
    problems: list[str] = []
    for split, name in _files_by_split(dataset).items():
        candidates = [folder / os.path.expanduser(name) for folder in data_folders]
        path = next(filter(os.path.exists, candidates), None)
        if path is None:
            looked = ", ".join(dict.fromkeys(str(path.parent.absolute()) for path in candidates))
            problems.append(f"{name}: no such {'folder' if dataset.folder else 'file'}; looked in {looked}")
        elif problem := _folder_problem(path, dataset) if dataset.folder else _file_problem(path, dataset):
            problems.append(f"{name}: {problem}")
        else:
            found[split] = path
        if _file_kind(dataset, name) is None and not (path and path.is_dir()):
            problems.append(f"{name}: unknown kind of file; the known suffixes are {', '.join(KINDS)}")
    if problems:
        raise ConfigError(problems)
    return found


def _file_problem(path: Path, dataset: Dataset) -> str | None:
    if path.is_dir() and not (dataset.has_images and dataset.train):
        return "is a folder; name a file, or use `folder:` for one that `datasets` saved"
    if path.is_dir():
        return None
    if not path.is_file():  # reading it might never end
        return "is a pipe, a socket or a device; name a plain file"
    return None


def _folder_problem(path: Path, dataset: Dataset) -> str | None:
    if not path.is_dir():
        return "is a file; `folder:` takes what `save_to_disk` wrote"
    if not dataset.has_images and not has_saved_table(path):
        return "holds neither dataset_info.json nor dataset_dict.json; `folder:` takes what `save_to_disk` wrote"
    return None


def _files_by_split(dataset: Dataset) -> dict[str, str]:
    table = dataset.csv or dataset.json_ or dataset.parquet or dataset.conll or dataset.folder
    names = {"train": table} if table else {split: getattr(dataset, split) for split in SPLITS}
    return {split: name for split, name in names.items() if name and (split, name) != ("test", LEFT_OUT)}


def _file_kind(dataset: Dataset, name: str) -> str | None:
    for kind, given in (
        ("csv", dataset.csv),
        ("json", dataset.json_),
        ("parquet", dataset.parquet),
        ("conll", dataset.conll),
    ):
        if given:
            return kind
    return "folder" if dataset.folder else KINDS.get(Path(name).suffix.lower())
