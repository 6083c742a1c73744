"""Allows at most one driver for each sweep: a locked file in its folder names the driver, also to other machines.

Two signs show that the driver is alive. The first is a lock of the operating system: it ends with the process that
holds it, even if that process is killed. Some network file systems keep such locks on one machine only. For other
machines there is a heartbeat: the driver updates the file's modification time.
"""

import fcntl
import getpass
import json
import os
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # its stubs are a separate package
from pydantic import TypeAdapter, ValidationError

from search.errors import PlanError

LOCK_FILE = "driver.json"
HEARTBEAT_SECONDS = 10.0
"""Time between two heartbeats."""
SILENT_SECONDS = 60.0
"""Without a heartbeat for this long, a driver on another machine counts as dead."""


@dataclass(frozen=True)
class Driver:
    """The process that runs a sweep."""

    user: str
    host: str
    machine: str
    """An id of the machine since its last boot."""
    pid: int
    started: float
    """When the process started, in seconds since 1970; later another process may get the same pid."""
    since: str
    """When it began to run the sweep, as text for messages."""
    inode: int
    """The lock file's inode. A copy of the folder has a different inode, so the copy has no driver."""

    def __str__(self) -> str:
        """Return the process, its user, its host and its start time, for messages."""
        return f"process {self.pid} of {self.user} on {self.host}, since {self.since}"

    def is_alive(self, file: os.stat_result, now: float) -> bool:
        """Return whether the process still runs the sweep.

        Args:
            file: the state of the lock file.
            now: the time of the file system's clock, in seconds since 1970.
        """
        if file.st_ino != self.inode:
            return False
        if self.is_on_this_machine and self.host == socket.gethostname():  # each container has its own host and pids
            return abs(_start_time(self.pid) - self.started) < 2
        return now - file.st_mtime < SILENT_SECONDS

    @property
    def is_on_this_machine(self) -> bool:
        """Return whether the process runs, or ran, on this machine since the last boot."""
        return self.machine == _machine()


class DriverLock:
    """Gives this process the right to run a sweep, from construction until `release`.

    Args:
        folder: the sweep's folder, or a temporary one that will become it.

    Raises:
        PlanError: if another process runs the sweep; the message names it.
    """

    def __init__(self, folder: Path) -> None:
        try:
            self._descriptor = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise PlanError([f"{folder / LOCK_FILE}: cannot be written ({error.strerror})"]) from None
        try:
            locked, holder = _lock(self._descriptor), _read(self._descriptor)
            has_died = locked and holder and holder.is_on_this_machine  # a living holder would still have the lock
            file = os.fstat(self._descriptor)
            if locked is False or (holder and not has_died and holder.is_alive(file, _file_system_time(folder))):
                raise PlanError([_already_running(folder.name, holder)])
            self._write(json.dumps(asdict(_this_process(file.st_ino))))
        except BaseException:
            os.close(self._descriptor)
            raise
        self._released = threading.Event()
        self._thread = threading.Thread(target=self._send_heartbeats, name="driver lock", daemon=True)
        self._thread.start()

    def release(self) -> None:
        """Let other processes run the sweep."""
        self._released.set()
        self._thread.join()
        self._write("")
        os.close(self._descriptor)

    def _send_heartbeats(self) -> None:
        while not self._released.wait(HEARTBEAT_SECONDS):
            with suppress(OSError):  # the file system may not answer for a while
                os.utime(self._descriptor)

    def _write(self, text: str) -> None:
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, text.encode(), 0)


@contextmanager
def hold_driver_lock(folder: Path) -> Iterator[None]:
    """Hold the right to run the sweep in that folder.

    Raises:
        PlanError: if another process runs it.
    """
    lock = DriverLock(folder)
    try:
        yield
    finally:
        lock.release()


def driver_of(folder: Path) -> Driver | None:
    """Return the process that runs the sweep in that folder, or None."""
    try:
        descriptor = os.open(folder / LOCK_FILE, os.O_RDONLY)
    except OSError:
        return None
    try:
        holder = _read(descriptor)
        return holder if holder and holder.is_alive(os.fstat(descriptor), time.time()) else None
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool | None:
    """Try to take the system's lock; return whether it was free, or None if the file system has no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _read(descriptor: int) -> Driver | None:
    try:
        return TypeAdapter(Driver).validate_json(os.pread(descriptor, 4096, 0))
    except ValidationError:  # there is no driver, or it was killed while it wrote
        return None


def _already_running(name: str, holder: Driver | None) -> str:
    process = str(holder) if holder else "another process, which has just started"
    stop_it = f"stop it with Ctrl-C or `kill {holder.pid}` there" if holder else "stop it with Ctrl-C"
    message = f"{name}: is being run by {process}; wait until it has ended, or {stop_it}"
    if holder and not holder.is_on_this_machine:
        message += f". If that machine has died, try again in {SILENT_SECONDS:.0f} s"
    return message


def _this_process(inode: int) -> Driver:
    since = time.strftime("%Y-%m-%d %H:%M:%S %z")
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # some containers have no name for the user
        user = f"user {os.getuid()}"
    return Driver(user, socket.gethostname(), _machine(), os.getpid(), _start_time(os.getpid()), since, inode)


def _machine() -> str:
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return socket.gethostname()  # not Linux


def _start_time(pid: int) -> float:
    """Return when a process started, in seconds since 1970; 0 if there is no such process."""
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return 0.0


def _file_system_time(folder: Path) -> float:
    """Return the time of the clock of that folder's file system, in seconds since 1970."""
    with tempfile.TemporaryFile(dir=folder) as file:
        return os.fstat(file.fileno()).st_mtime
