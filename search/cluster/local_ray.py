"""Ray on this machine for one sweep: it starts in the background, refuses other users, and ends with the sweep."""

import os
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]  # its stubs are a separate package
import ray

from search.cluster.authentication import MODE, TOKEN, environment
from search.cluster.ray_internals import (
    NO_METRICS,
    arguments_of_own_ray,
    job_server,
    reload_token,
    skip_ray_shutdown_at_exit,
)
from trainable.errors import ConfigError

QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
START_SECONDS = 300
"""Time limit for starting Ray, over all tries; Ray gives up each try after 30 s."""
NOTICE_SECONDS = 20
"""A start that takes longer counts as slow, and the user gets a message."""
SHUTDOWN_SECONDS = 10
"""Time limit for shutting down Ray; it usually takes 1 to 2 s."""
OBJECT_STORE_BYTES = 128 * 2**20
"""Enough, as trials send only reports. By default Ray takes 30 % of memory, and /dev/shm of a container is small."""
FALLBACK_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm")
"""Folders in which Ray's folder is made if the folder that the user named cannot be used."""
MAX_PATH_BYTES = 40
"""Maximum length of the folder's path in bytes: Ray creates sockets in it, whose paths may have at most 107 bytes."""


class LocalRay:
    """Starts Ray at once, in a thread.

    The system kills Ray's processes when the thread that started them ends, so the thread lives as long as they do.

    Args:
        arguments: arguments of `ray.init`.
        variables: environment variables of Ray's processes; a variable that the user has set keeps its value.
        dashboard: whether the State API is needed. It needs the dashboard and the agent that runs jobs.
    """

    def __init__(self, arguments: Mapping[str, Any], variables: Mapping[str, str], dashboard: bool) -> None:
        self._arguments, self._dashboard = arguments, dashboard
        self._variables = {name: value for name, value in variables.items() if name not in os.environ}
        self._variables |= {**NO_METRICS, MODE: "token", TOKEN: secrets.token_hex(32)}
        self._start_time = time.monotonic()
        self._abandoned = False
        self._folder: Path | None = None
        self._started: Future[None] = Future()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ray", daemon=True)
        self._thread.start()

    def wait(self, say: Callable[[str], None]) -> None:
        """Wait until Ray has started.

        Raises:
            ConfigError: if Ray cannot be started, or not in time.
        """
        try:
            if not self._done(NOTICE_SECONDS):
                say(
                    f"Ray has not started in {NOTICE_SECONDS} s; the machine may be busy ({describe_load()}); "
                    f"starting may take up to {START_SECONDS} s; press Ctrl-C to cancel"
                )
                self._done(self._seconds_left())
            self._started.result(timeout=0)
        except TimeoutError:
            self.abandon()
            raise ConfigError(_late_message("it does not answer")) from None
        except KeyboardInterrupt:
            self.abandon()
            raise

    def abandon(self) -> None:
        """Make `end` return without waiting for a start that is still running.

        That Ray is shut down when its start completes, or when this process exits.
        """
        self._abandoned = True

    def _seconds_left(self) -> float:
        return max(0.0, START_SECONDS + self._start_time - time.monotonic())

    def _done(self, seconds: float) -> bool:
        """Return whether the start succeeds or fails within so many seconds; signals interrupt the wait."""
        try:
            self._started.exception(timeout=seconds)
        except TimeoutError:
            return False
        return True

    def end(self) -> None:
        """End Ray and remove its folder."""
        if self._done(0 if self._abandoned else self._seconds_left()):
            shut_down()
        else:
            skip_ray_shutdown_at_exit()  # Ray's shutdown would wait for the start
        self._ended.set()
        self._clean()

    def copy_logs(self, into: Path) -> None:
        """Copy Ray's logs to a folder that is kept after Ray has ended."""
        if self._folder is not None:
            logs = self._folder / "ray" / "session_latest" / "logs"
            with suppress(OSError):  # such as a full disk, which is reported elsewhere
                shutil.copytree(logs, into, dirs_exist_ok=True, ignore_dangling_symlinks=True)

    def _run(self) -> None:
        try:
            with environment(self._variables):
                reload_token()
                self._start_with_retries()
        except BaseException as error:
            self._started.set_exception(error)
        else:
            self._started.set_result(None)
            if self._ended.is_set():
                shut_down()
            self._ended.wait()

    def _start_with_retries(self) -> None:
        last_reason = ""
        while True:
            self._folder = _private_folder()
            try:
                # Libraries make further sockets in TMPDIR, so its path must be short too.
                with job_server(self._dashboard), environment({"TMPDIR": str(self._folder.parent)}):
                    self._init(self._folder / "ray")
                return
            except Exception as error:
                self._kill()
                self._clean()
                reason = (str(error).strip() or type(error).__name__).splitlines()[0]
                if self._ended.is_set() or not self._seconds_left():
                    raise ConfigError(_late_message(reason)) from error
                if reason == last_reason and "timed out" not in reason:  # another try would fail likewise
                    raise ConfigError(f"Ray cannot be started on this machine: {reason}") from error
                last_reason = reason

    def _init(self, folder: Path) -> None:
        ray.init(
            address="local",
            object_store_memory=OBJECT_STORE_BYTES,
            include_dashboard=self._dashboard,
            dashboard_host="127.0.0.1",
            **arguments_of_own_ray(folder),
            **self._arguments,
            **QUIET,
        )

    def _kill(self) -> None:
        """Kill the processes of a failed start: children whose command line has its folder, and their children."""
        for child in psutil.Process().children():
            try:
                if any(str(self._folder) in word for word in child.cmdline()):
                    for process in [*child.children(recursive=True), child]:
                        process.kill()
            except psutil.NoSuchProcess:
                continue

    def _clean(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


def shut_down() -> None:
    """Shut down Ray.

    A thread does it, because Ray may wait forever for processes that have died.
    """
    thread = threading.Thread(target=ray.shutdown, name="ray-shutdown", daemon=True)
    thread.start()
    thread.join(SHUTDOWN_SECONDS)
    if thread.is_alive():
        skip_ray_shutdown_at_exit()


def describe_load() -> str:
    """Return how busy this machine is, as text."""
    return f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"


def _late_message(reason: str) -> str:
    return (
        f"Ray could not be started in {START_SECONDS} s ({reason}; {describe_load()}); wait until this machine is less "
        "busy, then try again"
    )


def _private_folder() -> Path:
    """Make a folder for Ray's sockets and logs that only this user can enter; Ray's own folder is open to all users.

    Raises:
        ConfigError: if no folder for temporary files can be used.
    """
    problems = []
    requested = [os.environ[name] for name in ("RAY_TMPDIR", "TMPDIR") if os.environ.get(name)]
    for base in dict.fromkeys([*requested, *FALLBACK_FOLDERS]):
        if len(os.fsencode(base)) + len("/transfersweep-12345678") > MAX_PATH_BYTES or any(c.isspace() for c in base):
            problems.append(f"{base}: is too long or has a space, which Ray's sockets do not allow")
            continue
        try:
            return Path(tempfile.mkdtemp(prefix="transfersweep-", dir=base))
        except OSError as error:
            problems.append(f"{base}: {error.strerror}")
    raise ConfigError(f"no folder is usable for Ray's socket files ({'; '.join(problems)}); set TMPDIR to a short path")
