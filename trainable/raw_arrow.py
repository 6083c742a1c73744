"""Reads Parquet files, folders that `datasets` saved, and data sets of the Hugging Face hub."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from trainable.errors import ConfigError
from trainable.raw import RawTable

if TYPE_CHECKING:
    from datasets import Dataset as Saved

SPLITS = ("train", "validation", "test")


def read_parquet(path: Path, name: str) -> RawTable:
    """Read a Parquet file.

    Raises:
        ConfigError: where it is none.
    """
    try:
        table = pq.read_table(path)
    except pa.ArrowException as error:
        raise ConfigError(f"{name}: cannot be read as Parquet: {str(error).splitlines()[0]:.200}") from None
    return _from_arrow(table, name)


def _from_arrow(table: pa.Table, name: str) -> RawTable:
    from datasets import ClassLabel, Features  # here, for it takes a second to import and CSV needs none of it

    twice = sorted({column for column in table.column_names if table.column_names.count(column) > 1})
    if twice:
        raise ConfigError(f"{name}: there are several columns {twice[0]!r}")
    features = Features.from_arrow_schema(table.schema)
    classes = {column: list(f.names) for column, f in features.items() if isinstance(f, ClassLabel)}
    columns: dict[str, list[Any] | pa.ChunkedArray] = {column: table.column(column) for column in table.column_names}
    return RawTable(name, columns, table.num_rows, class_names=classes)


def read_folder(path: Path, name: str) -> dict[str, RawTable]:
    """Read what `save_to_disk` wrote, by split; a single table is `train`.

    Raises:
        ConfigError: where `datasets` cannot load it, or there is no training split.
    """
    from datasets import load_from_disk

    try:
        saved = load_from_disk(str(path))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{name}: `datasets` cannot load it: {_first_line(error)}") from None
    return _by_split(saved, name)


def read_hub(name: str) -> dict[str, RawTable]:
    """Load a data set from the hub (or its local cache), by split; scripts are never run.

    Raises:
        ConfigError: where it cannot be loaded, or there is no training split.
    """
    # `load_dataset` would take "csv" as its own reader of the working directory, and a folder before the hub.
    if not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", name):
        raise ConfigError(f"{name}: a hub data set is named owner/name; for files use csv, json, parquet or folder")
    if Path(name).exists():
        raise ConfigError(
            f"{name}: stands for a data set on the hub, yet there is a folder of that name; "
            "use `folder:`, or start elsewhere"
        )
    from datasets import load_dataset
    from datasets.exceptions import DatasetsError

    try:
        saved = load_dataset(name)
    except (DatasetsError, OSError, ValueError, RuntimeError) as error:
        raise ConfigError(
            f"{name}: cannot be loaded from the Hugging Face hub: {_first_line(error)}; "
            "without a network, save it once with `save_to_disk` and use `folder:`"
        ) from None
    return _by_split(saved, name)


def _by_split(saved: Saved | dict[str, Saved], name: str) -> dict[str, RawTable]:
    if not isinstance(saved, dict):
        return {"train": _from_arrow(saved.with_format("arrow")[:], name)}
    if "train" not in saved:
        raise ConfigError(f"{name}: there is no split 'train'; there are: {', '.join(saved) or 'none'}")
    return {s: _from_arrow(saved[s].with_format("arrow")[:], f"{name} ({s})") for s in SPLITS if s in saved}


def _first_line(error: Exception) -> str:
    return f"{str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__:.200}"
