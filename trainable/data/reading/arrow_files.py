"""Reads Parquet files, folders saved by `datasets`, and data sets from the Hugging Face hub."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from trainable.data.reading.raw_table import RawTable, check_column_names
from trainable.data.reading.saved_splits import choose_saved_splits
from trainable.errors import ConfigError
from trainable.hub import load_from_hub
from trainable.settings.dataset import LEFT_OUT, Split

if TYPE_CHECKING:
    from datasets import Dataset as Saved

_BROKEN = (pa.ArrowException, OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError)
"""Errors that the libraries raise for damaged files or metadata."""


def read_parquet(path: Path, name: str) -> RawTable:
    """Read a Parquet file.

    Raises:
        ConfigError: if it is not a Parquet file.
    """
    with _readable(f"{name}: cannot be read as Parquet"), pq.ParquetFile(path) as file:
        return _from_arrow(file.read(), name)


def _from_arrow(table: pa.Table, name: str) -> RawTable:
    from datasets import ClassLabel, Features  # the import takes a second, and CSV does not need it

    check_column_names(table.column_names, name)
    features = Features.from_arrow_schema(table.schema)
    classes = {column: list(f.names) for column, f in features.items() if isinstance(f, ClassLabel)}
    columns: dict[str, list[Any] | pa.ChunkedArray] = {column: table.column(column) for column in table.column_names}
    return RawTable(name, columns, table.num_rows, class_names=classes)


def read_folder(path: Path, name: str, splits: Mapping[Split, str]) -> dict[str, RawTable]:
    """Read a folder that `save_to_disk` wrote, by split; a single table is `train`.

    Args:
        path: the folder.
        name: the folder as the user wrote it.
        splits: the requested saved splits, see `choose_saved_splits`.

    Raises:
        ConfigError: if `datasets` cannot load it, or there is no training split.
    """
    from datasets import load_from_disk

    for file in path.rglob("*"):
        if not (file.is_file() or file.is_dir()):  # reading a pipe might never end
            raise ConfigError(f"{name}: `datasets` cannot load it: {file.relative_to(path)} is no plain file")
    with _readable(f"{name}: `datasets` cannot load it"):
        saved = load_from_disk(str(path))
        for part in saved.values() if isinstance(saved, dict) else [saved]:
            for table in part.cache_files:
                if not os.path.abspath(table["filename"]).startswith(os.path.abspath(path) + os.sep):
                    raise ValueError(f"it uses {table['filename']} outside the folder")
        return _by_split(saved, name, splits)


def read_hub(name: str, splits: Mapping[Split, str]) -> dict[str, RawTable]:
    """Load a data set from the hub (or its local cache), by split, without running scripts.

    Raises:
        ConfigError: if it cannot be loaded, or there is no training split.
    """
    # `load_dataset("csv")` would read files of the working directory, and it prefers a local folder to the hub.
    if not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", name):
        raise ConfigError(f"{name}: a hub data set is named owner/name; for files use csv, json, parquet or folder")
    if Path(name).exists():
        raise ConfigError(
            f"{name}: names a data set on the hub, but the working directory has a folder of that name; "
            "use `folder:`, or start in another directory"
        )
    from datasets.exceptions import DatasetsError

    try:
        saved = load_from_hub(name)
    except (DatasetsError, *_BROKEN) as error:
        raise ConfigError(
            f"{name}: cannot be loaded from the Hugging Face hub: {_first_line(error)}; "
            "without a network, save it once with `save_to_disk` and use `folder:`"
        ) from None
    return _by_split(saved, name, splits)


def _by_split(saved: Saved | dict[str, Saved], name: str, splits: Mapping[Split, str]) -> dict[str, RawTable]:
    if not isinstance(saved, dict):
        if named := [f"{split}: {saved_name}" for split, saved_name in splits.items() if saved_name != LEFT_OUT]:
            raise ConfigError(
                f"{name}: is one table without splits of its own; remove `splits: {{{', '.join(named)}}}`"
            )
        return {"train": _from_arrow(saved.with_format("arrow")[:], name)}
    chosen, notes = choose_saved_splits({saved_name: part.num_rows for saved_name, part in saved.items()}, splits, name)
    tables: dict[str, RawTable] = {
        split: _from_arrow(saved[saved_name].with_format("arrow")[:], f"{name} ({saved_name})")
        for split, saved_name in chosen.items()
    }
    return tables | {"train": replace(tables["train"], notes=tuple(notes))}


@contextmanager
def _readable(what: str) -> Iterator[None]:
    """Turn errors of the libraries into a `ConfigError` with one sentence that begins with `what`."""
    try:
        yield
    except ConfigError:
        raise
    except _BROKEN as error:
        raise ConfigError(f"{what}: {_first_line(error)}") from None


def _first_line(error: Exception) -> str:
    return f"{(str(error).strip().splitlines() or [type(error).__name__])[0]:.200}"
