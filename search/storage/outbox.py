"""Events on disk that wait to be delivered: kept in order, each until it is said to be delivered.

A line of the file is JSON and ends with a line break: `{"n": 7, "event": {...}}` for an event, `{"delivered": 7}` for
the news that the events up to number 7 have been delivered. When nothing waits any more, the file is emptied.
"""

from __future__ import annotations

import errno
import json
import os
import threading
from collections import deque
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

Event = dict[str, Any]
"""What happened; JSON values only."""


class Outbox:
    """The events of one file. One process at a time has it open; its threads may share it.

    What a process appended is there for the next one, wherever the first was killed. A last line that was cut off
    while it was written is no event.

    Args:
        file: made where it is missing.

    Raises:
        OSError: if the file cannot be opened.
    """

    def __init__(self, file: Path) -> None:
        self._file = file.open("ab", buffering=0)
        content = file.read_bytes()
        self._waiting = deque(_waiting(content))
        self._file.truncate(content.rfind(b"\n") + 1 if self._waiting else 0)
        self._number = self._waiting[-1][0] if self._waiting else 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """How many events wait."""
        return len(self._waiting)

    def append(self, event: Mapping[str, Any], sync: bool = False) -> None:
        """Keep an event behind all others.

        Args:
            event: what happened.
            sync: whether it must outlive the machine's power, not only the process.

        Raises:
            OSError: if it cannot be written, as on a full disk; then nothing of it is in the file.
        """
        with self._lock:
            line = self._write({"n": self._number + 1, "event": event})
            if sync:
                os.fsync(self._file.fileno())
            # As the next process would read it.
            self._waiting.append((self._number + 1, json.loads(line)["event"]))
            self._number += 1

    def first(self, most: int) -> list[Event]:
        """The events that have waited longest, in order, at most so many."""
        with self._lock:
            return [event for _, event in islice(self._waiting, most)]

    def delivered(self, count: int) -> None:
        """Forget the first events; a closed outbox leaves them to whoever opens the file next."""
        with self._lock:
            if self._file.closed or not count:
                return
            if count < len(self._waiting):
                self._write({"delivered": self._waiting[count - 1][0]})
            else:
                self._file.truncate(0)
            for _ in range(count):
                self._waiting.popleft()

    def close(self) -> None:
        """Leave the file to others; what waits stays in it."""
        with self._lock:
            self._file.close()

    def _write(self, value: Mapping[str, Any]) -> bytes:
        line = json.dumps(value).encode() + b"\n"
        end = os.fstat(self._file.fileno()).st_size
        try:
            if self._file.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._file.name)
        except OSError:
            self._file.truncate(end)
            raise
        return line


def count_waiting(file: Path) -> int:
    """How many events wait in a file, which need not exist."""
    return len(_waiting(file.read_bytes())) if file.is_file() else 0


def _waiting(content: bytes) -> list[tuple[int, Event]]:
    """The events of a file that wait, with their numbers; lines that a failing disk has spoilt are left out."""
    events, delivered = [], 0
    for line in content.split(b"\n")[:-1]:
        try:
            value = json.loads(line)
        except ValueError:
            continue
        match value:
            case {"n": int(number), "event": dict(event)}:
                events.append((number, event))
            case {"delivered": int(number)}:
                delivered = number
    return [(number, event) for number, event in events if number > delivered]
