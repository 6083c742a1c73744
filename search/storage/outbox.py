"""Keeps events on disk until they are delivered, in the order in which they were added: one SQLite row for each.

An added event is still there after `kill -9` and after a power failure: SQLite has then written the file to the disk.
Because of `synchronous = extra` it has also written the folder, from which it deleted its journal. There is no
write-ahead log: it needs memory that all processes share, and machines that share a network folder have no such memory.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from search.errors import PlanError
from search.storage.outbox_jsonl import read_jsonl
from search.storage.sqlite_lock import OPEN_SECONDS, WAITING_ARGUMENTS, is_locked
from search.storage.store_uri import read_write_uri

_TABLE = "create table if not exists events (n integer primary key autoincrement, event text not null)"
_COUNT = "select count(*) from events"


class Outbox:
    """The events of one file, which one process at a time may have open; the threads of that process may share it.

    An earlier version kept its events in a JSON-lines file beside this one; those events come first.

    Args:
        file: the SQLite file; it is created if it is missing.

    Raises:
        OSError: if the file cannot be opened or written, as on a full disk.
        PlanError: if the file is damaged.
    """

    def __init__(self, file: Path) -> None:
        file.touch()  # with the permissions of the sweep's other files; SQLite would choose different ones
        self._file, self._lock, self._closed = file, threading.Lock(), False
        with _translated_errors(file):
            self._connection = sqlite3.connect(file, isolation_level=None, check_same_thread=False, **WAITING_ARGUMENTS)
            self._execute("pragma synchronous = extra")
            self._execute(_TABLE)
            self._import_jsonl(_jsonl_of(file))
            self._count: int = self._execute(_COUNT).fetchone()[0]

    def __len__(self) -> int:
        """Return how many events wait."""
        return self._count

    def append(self, event: str) -> None:
        """Add an event after all others; when this returns, the event is on the disk.

        Raises:
            OSError: if the event cannot be written, as on a full disk; the outbox is then unchanged.
        """
        with self._lock, _translated_errors(self._file):
            self._execute("insert into events (event) values (?)", event)
            self._count += 1

    def oldest(self, limit: int) -> list[tuple[int, str]]:
        """Return the oldest events, at most `limit`, each with its number; after `close` return none."""
        with self._lock, _translated_errors(self._file):
            return [] if self._closed else self._execute("select * from events order by n limit ?", limit).fetchall()

    def remove_delivered(self, number: int) -> None:
        """Remove the events up to this number; after `close` remove none, so that the next process finds them."""
        with self._lock, _translated_errors(self._file):
            if not self._closed:
                self._count -= self._execute("delete from events where n <= ?", number).rowcount

    def close(self) -> None:
        """Close the file for use by other processes; the events that wait stay in it."""
        with self._lock:
            self._closed = True
            self._connection.close()

    def _execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        cursor: sqlite3.Cursor = self._connection.cursor().execute(sql, values)
        return cursor

    def _import_jsonl(self, file: Path) -> None:
        """Add the events of an earlier version; they come twice if the process is killed before it deletes the file."""
        if not file.is_file():
            return
        self._execute("begin immediate")
        with self._connection:
            for event in read_jsonl(file):
                self._execute("insert into events (event) values (?)", event)
        file.unlink()


def count_waiting(file: Path) -> int:
    """Return how many events wait in an outbox file, which need not exist, and in an earlier version's file beside it.

    Raises:
        OSError: if the file cannot be read.
        PlanError: if it is damaged.
    """
    in_jsonl = len(read_jsonl(_jsonl_of(file))) if _jsonl_of(file).is_file() else 0
    if not file.is_file() or not file.stat().st_size:  # the table does not exist before the first commit
        return in_jsonl
    with (
        _translated_errors(file),
        closing(sqlite3.connect(read_write_uri(file), uri=True, timeout=OPEN_SECONDS)) as connection,
    ):
        waiting: int = connection.execute(_COUNT).fetchone()[0]
    return in_jsonl + waiting


def _jsonl_of(file: Path) -> Path:
    """Return the path of the JSON-lines file in which earlier versions kept their events."""
    return file.with_suffix(".jsonl")


@contextmanager
def _translated_errors(file: Path) -> Iterator[None]:
    """Turn an error of SQLite into a `PlanError` or `OSError` with the reason and the file's name."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            way_out = "remove it: MLflow gets the results again from the study, but not the curves that were waiting"
            raise PlanError([f"{file}: is damaged ({error}); {way_out}"]) from None
        if code == sqlite3.SQLITE_IOERR:
            _try_to_write(file.parent)  # SQLite does not say that a quota is used up
        reasons = {sqlite3.SQLITE_FULL: errno.ENOSPC}
        number = errno.EBUSY if is_locked(error) else reasons.get(code, errno.EIO)
        raise OSError(number, str(error), str(file)) from error


def _try_to_write(folder: Path) -> None:
    """Write 64 KiB into a folder, to learn from the system why SQLite could not write.

    Raises:
        OSError: if this write fails too, with the system's reason.
    """
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(bytes(2**16))
        file.flush()
        os.fsync(file.fileno())
