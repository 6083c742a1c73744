"""Writing files and folders so that a reader finds them whole or not at all."""

import os
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path


def write_folder(folder: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a folder under a temporary name, flush it to disk, then put it in place of `folder`."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}")
    temporary.mkdir()
    try:
        write(temporary)
        for file in temporary.iterdir():
            _flush(file)
        _flush(temporary)
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(temporary, folder)
        _flush(folder.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def write_file(file: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a file under a temporary name, then put it in place."""
    temporary = file.with_name(f".{file.name}.{uuid.uuid4().hex}")
    try:
        write(temporary)
        os.replace(temporary, file)
    finally:
        temporary.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
