"""Events that wait on disk to be delivered, in the order in which they were accepted: one SQLite row for each.

An accepted event is still there after `kill -9` and after a power failure. SQLite has then written the file to the disk
and, because of `synchronous = extra`, the folder from which it deleted its journal. There is no write-ahead log: that
needs memory shared by all processes, which machines with a common network folder do not have.
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
    """The events of one file. One process at a time has it open; its threads may share it.

    Events that an earlier version left beside it, in a file of JSON lines, come first.

    Args:
        file: made where it is missing.

    Raises:
        OSError: if the file cannot be opened or written, as on a full disk.
        PlanError: if it is damaged.
    """

    def __init__(self, file: Path) -> None:
        file.touch()  # with the permissions of the sweep's other files; SQLite would choose its own
        self._file, self._lock, self._closed = file, threading.Lock(), False
        with _readable_errors(file):
            self._connection = sqlite3.connect(file, isolation_level=None, check_same_thread=False, **WAITING_ARGUMENTS)
            self._execute("pragma synchronous = extra")
            self._execute(_TABLE)
            self._take_in(_jsonl(file))
            self._count: int = self._execute(_COUNT).fetchone()[0]

    def __len__(self) -> int:
        """How many events wait."""
        return self._count

    def append(self, event: str) -> None:
        """Keep an event behind all others; it is on the disk when this returns.

        Raises:
            OSError: if it cannot be written, as on a full disk; then nothing of it is kept.
        """
        with self._lock, _readable_errors(self._file):
            self._execute("insert into events (event) values (?)", event)
            self._count += 1

    def first(self, most: int) -> list[tuple[int, str]]:
        """The events that have waited longest, at most so many, each with its number; none once this is closed."""
        with self._lock, _readable_errors(self._file):
            return [] if self._closed else self._execute("select * from events order by n limit ?", most).fetchall()

    def delivered(self, number: int) -> None:
        """Forget the events up to this number; after `close` they stay for the next process."""
        with self._lock, _readable_errors(self._file):
            if not self._closed:
                self._count -= self._execute("delete from events where n <= ?", number).rowcount

    def close(self) -> None:
        """Leave the file to others; what waits stays in it."""
        with self._lock:
            self._closed = True
            self._connection.close()

    def _execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        cursor: sqlite3.Cursor = self._connection.cursor().execute(sql, values)
        return cursor

    def _take_in(self, older: Path) -> None:
        """Take in the events of an earlier version; after a kill before its file is deleted they come twice."""
        if not older.is_file():
            return
        self._execute("begin immediate")
        with self._connection:
            for event in read_jsonl(older):
                self._execute("insert into events (event) values (?)", event)
        older.unlink()


def count_waiting(file: Path) -> int:
    """How many events wait in a file, which need not exist, and in what an earlier version left beside it.

    Raises:
        OSError: if the file cannot be read.
        PlanError: if it is damaged.
    """
    older = len(read_jsonl(_jsonl(file))) if _jsonl(file).is_file() else 0
    if not file.is_file() or not file.stat().st_size:  # it has no table before its first commit
        return older
    with (
        _readable_errors(file),
        closing(sqlite3.connect(read_write_uri(file), uri=True, timeout=OPEN_SECONDS)) as connection,
    ):
        waiting: int = connection.execute(_COUNT).fetchone()[0]
    return older + waiting


def _jsonl(file: Path) -> Path:
    """Where earlier versions kept what is now in that file."""
    return file.with_suffix(".jsonl")


@contextmanager
def _readable_errors(file: Path) -> Iterator[None]:
    """Turn what SQLite says of a file into an error with the reason and the file's name."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            way_out = "remove it: MLflow gets the results again from the study, but no curves of what waited"
            raise PlanError([f"{file}: is damaged ({error}); {way_out}"]) from None
        if code == sqlite3.SQLITE_IOERR:
            _write_something(file.parent)  # SQLite does not say that a quota is used up
        reasons = {sqlite3.SQLITE_FULL: errno.ENOSPC}
        number = errno.EBUSY if is_locked(error) else reasons.get(code, errno.EIO)
        raise OSError(number, str(error), str(file)) from error


def _write_something(folder: Path) -> None:
    """Write a few pages into a folder, as SQLite had to.

    Raises:
        OSError: if that fails too, with the system's reason.
    """
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(bytes(2**16))
        file.flush()
        os.fsync(file.fileno())
