"""Reads folders of images in which each class has a sub-folder, named as the class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from trainable.data.message_text import first_few, plural
from trainable.data.reading.raw_table import RawTable
from trainable.data.reading.saved_splits import choose_saved_splits, is_split_name
from trainable.errors import ConfigError
from trainable.settings.dataset import Dataset, Split

if TYPE_CHECKING:
    from collections.abc import Sequence

_NO_IMAGES = {"thumbs.db", "desktop.ini"}
"""Files that file managers write, in lower case; those whose names begin with a dot are left out, too."""


def has_saved_table(folder: Path) -> bool:
    """Return whether a folder is one that `datasets` saved."""
    return any((folder / name).is_file() for name in ("dataset_info.json", "dataset_dict.json"))


def read_image_folders(folder: Path, name: str, splits: Mapping[Split, str], dataset: Dataset) -> dict[str, RawTable]:
    """Read a folder of classes as the table `train`, or a folder of splits that each have a folder of classes.

    It is a folder of splits if one of its sub-folders is named as a training split, and each has sub-folders only.

    Args:
        folder: the folder.
        name: the folder as the user wrote it.
        splits: the requested splits, see `choose_saved_splits`.
        dataset: names the columns.

    Raises:
        ConfigError: if there is no class, or no training split.
    """
    parts = _folders(folder)
    if not (any(is_split_name(part.name, "train") for part in parts) and all(map(_folders, parts))):
        if splits:
            raise ConfigError(f"{name}: is one folder of classes without splits of its own; remove `splits`")
        return {"train": read_image_folder(folder, name, dataset)}
    tables = {part.name: read_image_folder(part, f"{name} ({part.name})", dataset) for part in parts}
    chosen, notes = choose_saved_splits({part: table.rows for part, table in tables.items()}, splits, name)
    found: dict[str, RawTable] = {split: tables[part] for split, part in chosen.items()}
    return found | {"train": replace(found["train"], notes=(*notes, *found["train"].notes))}


def read_image_folder(folder: Path, name: str, dataset: Dataset) -> RawTable:
    """Read a folder whose sub-folders are classes: every file in them is a row.

    Args:
        folder: the folder.
        name: the folder as the user wrote it.
        dataset: names the columns.

    Raises:
        ConfigError: if it has no sub-folder with a file.
    """
    found = [(part.name, file) for part in _folders(folder) for file in _files(sorted(part.rglob("*")))]
    if not found:
        raise ConfigError(f"{name}: has no sub-folder with a file; give each class a sub-folder with its images")
    beside = _files(sorted(folder.iterdir()))
    notes = (f"{name}: {plural(len(beside), 'file')} beside the classes not read: {_listed(beside)}",) if beside else ()
    names = [file.relative_to(folder).as_posix() for _, file in found]
    columns = {dataset.image or "image": list(names), dataset.label: [label for label, _ in found]}
    return RawTable(name, {**columns}, len(found), notes=notes, row_names=names, folder=folder)


def read_all_images(folder: Path, name: str, column: str) -> RawTable:
    """Read a folder whose files, also those in sub-folders, are images without labels.

    Raises:
        ConfigError: if it has no file.
    """
    names = [file.relative_to(folder).as_posix() for file in _files(sorted(folder.rglob("*")))]
    if not names:
        raise ConfigError(f"{name}: has no file; name a folder with images")
    return RawTable(name, {column: [*names]}, len(names), row_names=names, folder=folder)


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _files(paths: Sequence[Path]) -> list[Path]:
    """Return the paths that are no folders, without the files of file managers."""
    return [p for p in paths if not p.is_dir() and p.name.lower() not in _NO_IMAGES and not p.name.startswith(".")]


def _listed(files: Sequence[Path]) -> str:
    return first_few({file.name: None for file in files}, 3)
