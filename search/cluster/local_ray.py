"""A Ray of the sweep's own on this machine: started in the background, closed to every other user, ended with it."""

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

import psutil  # type: ignore[import-untyped]  # its stubs are a package of their own
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
"""How long starting Ray may take, over all tries; Ray itself gives up each after 30."""
NOTICE_SECONDS = 20
"""When a start counts as slow, and that is said."""
SHUTDOWN_SECONDS = 10
"""How long Ray may take to end; it takes one or two."""
OBJECT_STORE_BYTES = 128 * 2**20
"""Trials hand each other nothing but reports. A container's /dev/shm is small, and Ray takes 30 % of memory else."""
FOLDERS = ("/tmp", "/var/tmp", "/dev/shm")
"""Where Ray's folder may lie if not in the one that the user has named."""
LONGEST_FOLDER = 40
"""Bytes of the folder's path: below it Ray makes sockets, and the system allows their paths 107 bytes."""


class LocalRay:
    """Starts Ray at once, in a thread.

    Ray's processes are killed by the system when the thread that started them ends, so that it lives as long as they.

    Args:
        arguments: of `ray.init`.
        variables: that the processes see, but for those that the user has set.
        dashboard: whether the State API is needed, and with it the dashboard and the agent that runs jobs.
    """

    def __init__(self, arguments: Mapping[str, Any], variables: Mapping[str, str], dashboard: bool) -> None:
        self._arguments, self._dashboard = arguments, dashboard
        self._variables = {name: value for name, value in variables.items() if name not in os.environ}
        self._variables |= {**NO_METRICS, MODE: "token", TOKEN: secrets.token_hex(32)}
        self._begin = time.monotonic()
        self._abandoned = False
        self._folder: Path | None = None
        self._started: Future[None] = Future()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ray", daemon=True)
        self._thread.start()

    def wait(self, say: Callable[[str], None]) -> None:
        """Return when Ray has started.

        Raises:
            ConfigError: if it cannot be started, or not in time.
        """
        try:
            if not self._done(NOTICE_SECONDS):
                say(
                    f"Ray has not started in {NOTICE_SECONDS} s, as on a busy machine ({describe_load()}); it is tried "
                    f"for {START_SECONDS} s, Ctrl-C ends that at once"
                )
                self._done(self._seconds_left())
            self._started.result(timeout=0)
        except TimeoutError:
            self.abandon()
            raise ConfigError(_late("it does not answer")) from None
        except KeyboardInterrupt:
            self.abandon()
            raise

    def abandon(self) -> None:
        """Let `end` not wait for a start that is under way: it ends with this process, or when it is done."""
        self._abandoned = True

    def _seconds_left(self) -> float:
        return max(0.0, START_SECONDS + self._begin - time.monotonic())

    def _done(self, seconds: float) -> bool:
        """Whether the start has ended, well or not, after so many seconds at most; a signal is heard meanwhile."""
        try:
            self._started.exception(timeout=seconds)
        except TimeoutError:
            return False
        return True

    def end(self) -> None:
        """End what was started, and remove its folder."""
        if self._done(0 if self._abandoned else self._seconds_left()):
            shut_down()
        else:
            skip_ray_shutdown_at_exit()  # its shutdown would wait for the start
        self._ended.set()
        self._clean()

    def copy_logs(self, into: Path) -> None:
        """Copy Ray's own logs to a folder, where they outlive it."""
        if self._folder is not None:
            logs = self._folder / "ray" / "session_latest" / "logs"
            with suppress(OSError):  # such as a full disk, which others tell
                shutil.copytree(logs, into, dirs_exist_ok=True, ignore_dangling_symlinks=True)

    def _run(self) -> None:
        try:
            with environment(self._variables):
                reload_token()
                self._try_until_late()
        except BaseException as error:
            self._started.set_exception(error)
        else:
            self._started.set_result(None)
            if self._ended.is_set():
                shut_down()
            self._ended.wait()

    def _try_until_late(self) -> None:
        before = ""
        while True:
            self._folder = _private_folder()
            try:
                # Other sockets are made by what is told of a folder for temporary files, so of one with a short path.
                with job_server(self._dashboard), environment({"TMPDIR": str(self._folder.parent)}):
                    self._init(self._folder / "ray")
                return
            except Exception as error:
                self._kill()
                self._clean()
                reason = (str(error).strip() or type(error).__name__).splitlines()[0]
                if self._ended.is_set() or not self._seconds_left():
                    raise ConfigError(_late(reason)) from error
                if reason == before and "timed out" not in reason:  # another try would come to the same
                    raise ConfigError(f"Ray cannot be started on this machine: {reason}") from error
                before = reason

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
        """Kill the processes of a start that failed: those that name its folder, and what they have started."""
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
    """Leave Ray. Where its processes have died, its own code may wait for them for ever: it is left to wait."""
    thread = threading.Thread(target=ray.shutdown, name="ray-shutdown", daemon=True)
    thread.start()
    thread.join(SHUTDOWN_SECONDS)
    if thread.is_alive():
        skip_ray_shutdown_at_exit()


def describe_load() -> str:
    """How busy this machine is."""
    return f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"


def _late(reason: str) -> str:
    return (
        f"Ray could not be started in {START_SECONDS} s ({reason}; {describe_load()}); wait until this machine is less "
        "busy, then try again"
    )


def _private_folder() -> Path:
    """A new folder for Ray's sockets and logs that only this user may enter; Ray opens its own to everybody.

    Raises:
        ConfigError: if no folder for temporary files can be used.
    """
    problems = []
    wished = [os.environ[name] for name in ("RAY_TMPDIR", "TMPDIR") if os.environ.get(name)]
    for base in dict.fromkeys([*wished, *FOLDERS]):
        if len(os.fsencode(base)) + len("/transfersweep-12345678") > LONGEST_FOLDER or any(c.isspace() for c in base):
            problems.append(f"{base}: is too long or has a blank, which Ray's sockets do not allow")
            continue
        try:
            return Path(tempfile.mkdtemp(prefix="transfersweep-", dir=base))
        except OSError as error:
            problems.append(f"{base}: {error.strerror}")
    raise ConfigError(f"Ray finds no folder for its sockets ({'; '.join(problems)}); set TMPDIR to a short path")
