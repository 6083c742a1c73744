"""Writes files and folders atomically: a reader finds them complete, or not at all."""

import fcntl
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

CACHE_BYTES = 16 * 2**30
"""Maximum size of each cache (stages, frozen layers), in bytes; above it the longest unused entries are deleted."""
_PREFIX = ".transfersweep-"  # with 32 hexadecimal digits behind it, the name of our temporary folders
_TEMPORARY = re.compile(re.escape(_PREFIX) + "[0-9a-f]{32}")
_YOUNG_SECONDS = 10.0  # a younger temporary folder may not be locked yet


def write_folder(folder: Path, write: Callable[[Path], object], replace: bool = True) -> None:
    """Let `write` fill a temporary folder, flush it to disk, then rename it to `folder`.

    Args:
        folder: the folder to write.
        write: called with the temporary folder.
        replace: whether an existing folder is replaced.

    Raises:
        OSError: if the folder cannot be written, or if something exists there that must not be replaced.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with temporary_folder(folder.parent) as temporary:
        write(temporary)
        for path in (*temporary.iterdir(), temporary):
            _flush(path)
        if replace and folder.exists():
            shutil.rmtree(folder)
        os.replace(temporary, folder)
        _flush(folder.parent)


def write_file(file: Path, write: Callable[[Path], object]) -> None:
    """Let `write` write a temporary file, flush it to disk, then rename it to `file`."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with temporary_folder(file.parent) as temporary:
        write(temporary / file.name)
        _flush(temporary / file.name)
        os.replace(temporary / file.name, file)
        _flush(file.parent)


def remove_leftovers(root: Path) -> None:
    """Delete the temporary folders that killed processes have left below a folder.

    Only folders with a name from `temporary_folder` are deleted, and only if no running process has locked them.
    """
    for folder in root.rglob(f"{_PREFIX}*"):
        if not _TEMPORARY.fullmatch(folder.name):
            continue
        with suppress(OSError):  # deleted meanwhile, locked, or on a file system without locks
            if time.time() - folder.stat().st_mtime < _YOUNG_SECONDS:
                continue
            with _opened(folder) as descriptor:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder)


@contextmanager
def temporary_folder(parent: Path) -> Iterator[Path]:
    """Create a temporary folder in `parent`, lock it inside the `with` block, and delete it afterwards."""
    folder = parent / f"{_PREFIX}{uuid.uuid4().hex}"
    folder.mkdir()
    try:
        with _opened(folder) as descriptor:
            with suppress(OSError):  # some network file systems cannot lock folders
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def longest_unused(paths: Iterable[Path], limit: int) -> list[Path]:
    """Return which paths to delete, the longest unused first, so that the rest takes at most `limit` bytes.

    The modification time counts as the time of the last use. A path that another process deletes meanwhile is skipped.

    Args:
        paths: files, or folders that contain only files.
        limit: bytes.
    """
    measured = [(used, path, size) for path in paths for used, size in _last_use_and_size(path)]
    total, to_delete = sum(size for _, _, size in measured), []
    for _, path, size in sorted(measured):
        if total <= limit:
            break
        total -= size
        to_delete.append(path)
    return to_delete


def _last_use_and_size(path: Path) -> list[tuple[float, int]]:
    """Return one pair, the time of the last use and the bytes; nothing if another process has deleted the path."""
    try:
        files = list(path.iterdir()) if path.is_dir() else [path]
        return [(path.stat().st_mtime, sum(file.stat().st_size for file in files))]
    except FileNotFoundError:
        return []


def _flush(path: Path) -> None:
    with _opened(path) as descriptor:
        os.fsync(descriptor)
