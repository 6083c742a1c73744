"""Waits in short steps for an SQLite file that another process has locked, such as a dashboard or a backup.

SQLite's own wait is one long step: Ctrl-C has no effect until its end, and the user gets no message.
"""

import logging
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Self, TypeVar

from search.errors import PlanError, StoppedError
from search.storage.store_uri import read_only_uri

T = TypeVar("T")
_STOP_IT = "stop that process, or wait until it has ended"
STEP_SECONDS = 1.0
"""The length of one step of a wait; Ctrl-C takes effect after it."""
LOCK_SECONDS = 900.0
"""Time that a running sweep waits for its study or its outbox."""
OPEN_SECONDS = 5.0
"""Time that a command waits when it opens a study."""
_log = logging.getLogger(__name__)


class _Cursor(sqlite3.Cursor):
    def execute(self, sql: str, parameters: Any = (), /) -> Self:
        _retry_while_locked(lambda: sqlite3.Cursor.execute(self, sql, parameters))
        return self


class WaitingConnection(sqlite3.Connection):
    """A connection that waits up to `LOCK_SECONDS` for each statement while the file is locked."""

    def cursor(self, factory: Any = _Cursor) -> Any:
        """Return a cursor that waits."""
        return super().cursor(factory)

    def commit(self) -> None:
        """Commit the transaction; wait while the file is locked."""
        _retry_while_locked(lambda: sqlite3.Connection.commit(self))


def _retry_while_locked(action: Callable[[], T]) -> T:
    deadline, warned = time.monotonic() + LOCK_SECONDS, False
    while True:
        try:
            return action()
        except sqlite3.OperationalError as error:
            if not _is_lock_error(error) or time.monotonic() > deadline:
                raise
            if not warned:
                _log.warning(
                    "another process has locked an SQLite file of the sweep: waiting for up to %.0f s", LOCK_SECONDS
                )
            warned = True


WAITING_ARGUMENTS: dict[str, Any] = {"factory": WaitingConnection, "timeout": STEP_SECONDS}
"""Arguments of `sqlite3.connect` that make it return a `WaitingConnection`."""


def check_unlocked(file: Path) -> None:
    """Check that no process has locked an SQLite file, which need not exist.

    Raises:
        PlanError: if it stays locked for `OPEN_SECONDS`.
    """
    if not file.exists():
        return
    try:
        with closing(sqlite3.connect(read_only_uri(file), uri=True, timeout=OPEN_SECONDS)) as connection:
            connection.execute("select * from sqlite_master").fetchone()
    except sqlite3.Error as error:  # code that reads the file later reports all other errors
        if is_locked(error):
            problem = f"another process has locked it, such as a dashboard or a backup; {_STOP_IT}"
            raise PlanError([f"{file}: {problem}"]) from None


def is_locked(error: BaseException) -> bool:
    """Return whether an exception, or one that caused it, says that an SQLite file is locked."""
    current: BaseException | None = error
    while current is not None:
        if isinstance(current, sqlite3.OperationalError) and _is_lock_error(current):
            return True
        current = current.__cause__ or current.__context__
    return False


@contextmanager
def explain_locked_study(file: Path, resume: str) -> Iterator[None]:
    """Turn the error of a study or outbox that stayed locked too long into one sentence.

    Args:
        file: the study.
        resume: the command that resumes the sweep.

    Raises:
        StoppedError: if a locked file caused the error.
    """
    try:
        yield
    except Exception as error:  # Optuna, SQLAlchemy and Ray each wrap the error in their own
        if not is_locked(error):
            raise
        name = error.filename if isinstance(error, OSError) else file  # the outbox raises OSError with its file
        raise StoppedError(
            f"{name}: another process, such as a dashboard or a backup, has locked it for "
            f"{LOCK_SECONDS / 60:.0f} minutes; nothing is lost: {_STOP_IT}, then `{resume}`"
        ) from None


def _is_lock_error(error: sqlite3.OperationalError) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
