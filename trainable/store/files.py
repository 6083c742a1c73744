"""Writing files and folders so that a reader finds them whole or not at all."""

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
"""The most that each cache of stages or frozen layers may take before its longest unused entries are deleted."""
_MARK = ".transfersweep-"  # and a number: of temporary folders that only we make
_MARKED = re.compile(re.escape(_MARK) + "[0-9a-f]{32}")
_YOUNG_SECONDS = 10.0  # a temporary folder of less may not have been locked yet


def write_folder(folder: Path, write: Callable[[Path], object], replace: bool = True) -> None:
    """Let `write` fill a folder under a temporary name, flush it to disk, then put it in place of `folder`.

    Raises:
        OSError: if it cannot be written, or, unless it may `replace`, if there is something at its place.
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
    """Let `write` fill a file under a temporary name, flush it to disk, then put it in place of `file`."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with temporary_folder(file.parent) as temporary:
        write(temporary / file.name)
        _flush(temporary / file.name)
        os.replace(temporary / file.name, file)
        _flush(file.parent)


def remove_leftovers(root: Path) -> None:
    """Delete what writers that were killed have left below a folder; those at work are known by their locks.

    Only what `temporary_folder` has made, by its name.
    """
    for folder in root.rglob(f"{_MARK}*"):
        if not _MARKED.fullmatch(folder.name):
            continue
        with suppress(OSError):  # gone meanwhile, or its file system has no locks: then nobody can tell
            if time.time() - folder.stat().st_mtime < _YOUNG_SECONDS:
                continue
            with _opened(folder) as descriptor:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder)


@contextmanager
def temporary_folder(parent: Path) -> Iterator[Path]:
    """A new folder in another one, locked while its writer lives, and gone afterwards."""
    folder = parent / f"{_MARK}{uuid.uuid4().hex}"
    folder.mkdir()
    try:
        with _opened(folder) as descriptor:
            with suppress(OSError):  # some network file systems have no locks on folders
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
    """Those of some files or folders of files that have to go so that the rest takes at most `limit` bytes.

    The modification time is taken for that of the last use; what vanishes meanwhile is left out.
    """
    measured = [(used, path, size) for path in paths for used, size in _use_of(path)]
    total, chosen = sum(size for _, _, size in measured), []
    for _, path, size in sorted(measured):
        if total <= limit:
            break
        total -= size
        chosen.append(path)
    return chosen


def _use_of(path: Path) -> list[tuple[float, int]]:
    """When a file or folder was last used and how many bytes it takes; nothing if another process has deleted it."""
    try:
        files = list(path.iterdir()) if path.is_dir() else [path]
        return [(path.stat().st_mtime, sum(file.stat().st_size for file in files))]
    except FileNotFoundError:
        return []


def _flush(path: Path) -> None:
    with _opened(path) as descriptor:
        os.fsync(descriptor)
