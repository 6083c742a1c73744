"""Finds the files of a data set and reads them, each by its kind."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from trainable.data.reading.arrow_files import read_folder, read_hub, read_parquet
from trainable.data.reading.csv_files import read_csv
from trainable.data.reading.encodings import decode
from trainable.data.reading.json_files import read_json
from trainable.data.reading.raw_table import RawTable
from trainable.data.reading.saved_splits import SPLITS
from trainable.errors import ConfigError
from trainable.settings.dataset import LEFT_OUT, Dataset

KINDS = {".csv": "csv", ".tsv": "csv", ".json": "json", ".jsonl": "json", ".ndjson": "json", ".parquet": "parquet"}
"""The setting that takes a file, by the suffix of its name."""


def read_tables(dataset: Dataset, roots: Sequence[Path]) -> dict[str, RawTable]:
    """Read the tables of a data set by split; one table that is yet to be split is `train`.

    Raises:
        ConfigError: with what cannot be read in each of the files.
    """
    if dataset.hub:
        return read_hub(dataset.hub, dataset.saved_splits())
    found = find_files(dataset, roots)
    if dataset.folder:
        return read_folder(found["train"], dataset.folder, dataset.saved_splits())
    tables: dict[str, RawTable] = {}
    problems: list[str] = []
    for split, name in _named(dataset).items():
        try:
            tables[split] = _read(dataset, found[split], name)
        except ConfigError as error:
            problems += error.problems
        except OSError as error:
            problems.append(f"{name}: cannot be read: {error.strerror or error}")
    if problems:
        raise ConfigError(problems)
    return tables


def _read(dataset: Dataset, path: Path, name: str) -> RawTable:
    kind = _kind(dataset, name)
    if kind == "parquet":
        return read_parquet(path, name)
    text = decode(path.read_bytes(), name, dataset.encoding)
    return read_json(text, name) if kind == "json" else read_csv(text, name, dataset.separator, dataset.quoting)


def find_files(dataset: Dataset, roots: Sequence[Path]) -> dict[str, Path]:
    """Where the files (or the folder) of a data set stand, by split; nothing for a hub data set.

    Raises:
        ConfigError: naming every file that is in none of the roots.
    """
    found: dict[str, Path] = {}
    problems: list[str] = []
    for split, name in _named(dataset).items():
        places = [root / os.path.expanduser(name) for root in roots]
        path = next(filter(os.path.exists, places), None)
        if path is None:
            looked = ", ".join(dict.fromkeys(str(place.parent.absolute()) for place in places))
            problems.append(f"{name}: no such {'folder' if dataset.folder else 'file'}; looked in {looked}")
        elif problem := _folder_problem(path) if dataset.folder else _file_problem(path):
            problems.append(f"{name}: {problem}")
        else:
            found[split] = path
        if _kind(dataset, name) is None:
            problems.append(f"{name}: the suffix tells no kind of file; known are {', '.join(KINDS)}")
    if problems:
        raise ConfigError(problems)
    return found


def _file_problem(path: Path) -> str | None:
    if path.is_dir():
        return "is a folder; name a file, or use `folder:` for one that `datasets` saved"
    if not path.is_file():  # reading one might never end
        return "is a pipe, a socket or a device; name a plain file"
    return None


def _folder_problem(path: Path) -> str | None:
    if not path.is_dir():
        return "is a file; `folder:` takes what `save_to_disk` wrote"
    if not any((path / name).is_file() for name in ("dataset_info.json", "dataset_dict.json")):
        return "holds neither dataset_info.json nor dataset_dict.json; `folder:` takes what `save_to_disk` wrote"
    return None


def _named(dataset: Dataset) -> dict[str, str]:
    table = dataset.csv or dataset.json_ or dataset.parquet or dataset.folder
    names = {"train": table} if table else {split: getattr(dataset, split) for split in SPLITS}
    return {split: name for split, name in names.items() if name and (split, name) != ("test", LEFT_OUT)}


def _kind(dataset: Dataset, name: str) -> str | None:
    for kind, given in (("csv", dataset.csv), ("json", dataset.json_), ("parquet", dataset.parquet)):
        if given:
            return kind
    return "folder" if dataset.folder else KINDS.get(Path(name).suffix.lower())
