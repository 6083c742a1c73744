"""One driver a sweep: a locked file in the sweep's folder says who runs it, also to other machines.

Two things hold the file. A lock of the operating system ends with the process that has it, however that ends. Network
file systems may know such locks on one machine only: there the file's time, which the driver renews, says that it
lives.
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

import psutil  # type: ignore[import-untyped]  # its stubs are a package of their own
from pydantic import TypeAdapter, ValidationError

from search.errors import PlanError

FILE = "driver.json"
BEAT_SECONDS = 10.0
"""How often a driver renews the file's time."""
SILENT_SECONDS = 60.0
"""After how long without that a driver on another machine counts as dead."""


@dataclass(frozen=True)
class Driver:
    """The process that runs a sweep."""

    user: str
    host: str
    machine: str
    """Tells the running system of this machine from others, and from itself before its last start."""
    pid: int
    started: float
    """When the process began, in seconds since 1970: its number may be another one's by now."""
    since: str
    """When it took the sweep, for readers."""
    inode: int
    """Of the file: a copy of a sweep's folder has no driver."""

    def __str__(self) -> str:
        """Who it is."""
        return f"process {self.pid} of {self.user} on {self.host}, since {self.since}"

    def lives(self, file: os.stat_result, now: float) -> bool:
        """Whether it runs the sweep still, by the state of the file and the time by that file's clock."""
        if file.st_ino != self.inode:
            return False
        if self.is_here and self.host == socket.gethostname():  # or its number is that of another container
            return abs(_start_of(self.pid) - self.started) < 2
        return now - file.st_mtime < SILENT_SECONDS

    @property
    def is_here(self) -> bool:
        """Whether it runs, or ran, on this machine, since that was started."""
        return self.machine == _machine()


class DriverLock:
    """The right of this process to run a sweep; held from when it is made until `release`.

    Args:
        folder: the sweep's, or the one that will become it.

    Raises:
        PlanError: if another process runs the sweep, naming it.
    """

    def __init__(self, folder: Path) -> None:
        try:
            self._descriptor = os.open(folder / FILE, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise PlanError([f"{folder / FILE}: cannot be written ({error.strerror})"]) from None
        try:
            locked, holder = _lock(self._descriptor), _read(self._descriptor)
            died = locked and holder and holder.is_here  # or it would have the lock
            file = os.fstat(self._descriptor)
            if locked is False or (holder and not died and holder.lives(file, _now_in(folder))):
                raise PlanError([_taken(folder.name, holder)])
            self._write(json.dumps(asdict(_this_process(file.st_ino))))
        except BaseException:
            os.close(self._descriptor)
            raise
        self._released = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="driver lock", daemon=True)
        self._thread.start()

    def release(self) -> None:
        """Let others run the sweep."""
        self._released.set()
        self._thread.join()
        self._write("")
        os.close(self._descriptor)

    def _renew(self) -> None:
        while not self._released.wait(BEAT_SECONDS):
            with suppress(OSError):  # a file system that is away
                os.utime(self._descriptor)

    def _write(self, text: str) -> None:
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, text.encode(), 0)


@contextmanager
def driving(folder: Path) -> Iterator[None]:
    """Be the only driver of the sweep in that folder.

    Raises:
        PlanError: if another process is.
    """
    lock = DriverLock(folder)
    try:
        yield
    finally:
        lock.release()


def driver_of(folder: Path) -> Driver | None:
    """The process that runs the sweep in that folder, if there is one."""
    try:
        descriptor = os.open(folder / FILE, os.O_RDONLY)
    except OSError:
        return None
    try:
        holder = _read(descriptor)
        return holder if holder and holder.lives(os.fstat(descriptor), time.time()) else None
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool | None:
    """Take the system's lock: whether it is to be had, or None where the file system has no locks."""
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
    except ValidationError:  # nobody, or a driver that was killed while it wrote
        return None


def _taken(name: str, holder: Driver | None) -> str:
    who = str(holder) if holder else "another process, which has just begun"
    end = f"end it with Ctrl-C or `kill {holder.pid}` there" if holder else "end it with Ctrl-C"
    words = f"{name}: is being run by {who}; wait until it has ended, or {end}"
    if holder and not holder.is_here:
        words += f". If that machine has died, try again in {SILENT_SECONDS:.0f} s"
    return words


def _this_process(inode: int) -> Driver:
    since = time.strftime("%Y-%m-%d %H:%M:%S %z")
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in some containers
        user = f"user {os.getuid()}"
    return Driver(user, socket.gethostname(), _machine(), os.getpid(), _start_of(os.getpid()), since, inode)


def _machine() -> str:
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return socket.gethostname()  # where there is no Linux


def _start_of(pid: int) -> float:
    """When a process began, in seconds since 1970; 0 if there is none."""
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return 0.0


def _now_in(folder: Path) -> float:
    """The time by the clock of that folder's file system."""
    with tempfile.TemporaryFile(dir=folder) as file:
        return os.fstat(file.fileno()).st_mtime
