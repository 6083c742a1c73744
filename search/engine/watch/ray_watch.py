"""Notices within seconds that Ray has died. Calls to a dead Ray may block for minutes, and some never return."""

import errno
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from search.cluster.ray_internals import ray_addresses
from search.engine.watch.stop_request import StopRequest
from search.errors import StoppedError

CHECK_SECONDS = 1.0
HEAD_NODE_TIMEOUT_SECONDS = 20.0
"""Time that the head of a cluster may be unreachable, for example during its restart. A dead raylet never returns."""
END_SECONDS = 30.0
"""Time that the main thread has to end the sweep after Ray has died. A call to a dead Ray may keep it much longer."""
LOST_CONNECTION = {os.strerror(number) for number in (errno.EPIPE, errno.ECONNRESET, errno.ECONNREFUSED)}
"""Full texts of the errors that Ray raises after its death. Those of the operating system also contain a number."""


@contextmanager
def stop_if_ray_dies(
    stop: StopRequest, head_seconds: float, resume: str, show: Callable[[str], None]
) -> Iterator[None]:
    """Stop the sweep at once if Ray dies inside the block: the main thread is interrupted as by Ctrl-C.

    If a call to the dead Ray keeps the main thread for longer than `END_SECONDS`, the process exits with status 1.

    Args:
        stop: receives the request to end the sweep.
        head_seconds: how long the head may be unreachable.
        resume: the command that continues the sweep.
        show: prints the reason if the process exits.

    Raises:
        StoppedError: if Ray has died and the block did not handle the interrupt.
    """

    def exit_with(reason: str) -> None:
        show(f"{reason}, then `{resume}`")
        os._exit(1)

    died = partial(stop.request, at_once=True)
    try:
        with _watching(head_seconds, died, exit_with), explain_lost_ray(resume):
            yield
    except KeyboardInterrupt:
        if stop.problem is None:
            raise
        raise StoppedError(f"{stop.problem}, then `{resume}`") from None


@contextmanager
def explain_lost_ray(resume: str) -> Iterator[None]:
    """Turn the error of a call to a Ray that has just died into one sentence.

    Later calls end this process: Ray's own code does that after a minute without an answer.

    Raises:
        StoppedError: if the connection to Ray is lost.
    """
    try:
        yield
    except OSError as error:
        if str(error) not in LOST_CONNECTION:
            raise
        raise StoppedError(f"the connection to Ray was lost ({error}); when Ray runs again: `{resume}`") from None


@contextmanager
def _watching(head_seconds: float, died: Callable[[str], None], still_blocked: Callable[[str], None]) -> Iterator[None]:
    """Watch Ray in a thread. If a part of it dies, call `died` with the reason, then interrupt the main one.

    If the main thread then does not leave the block within `END_SECONDS`, call `still_blocked` with the reason.
    """
    raylet, head = ray_addresses()
    ended = threading.Event()
    in_main = threading.current_thread() is threading.main_thread()  # only this one can be interrupted

    def watch() -> None:
        while not ended.wait(CHECK_SECONDS):
            if reason := _death(raylet, head, head_seconds, ended):
                died(reason)
                if in_main:
                    os.kill(os.getpid(), signal.SIGINT)
                    if not ended.wait(END_SECONDS):
                        still_blocked(reason)
                return

    thread = threading.Thread(target=watch, name="ray-watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _death(raylet: str, head: str, head_seconds: float, ended: threading.Event) -> str | None:
    """Return which part of Ray has died, or None."""
    if not _listens(raylet):
        return "Ray's process on this machine (raylet) has died; nothing is lost: make sure that it has enough memory"
    gone = time.monotonic()
    while not _listens(head):
        if time.monotonic() - gone >= head_seconds:
            return f"the head of Ray ({head}) has died; nothing is lost: make sure that it runs again"
        if ended.wait(CHECK_SECONDS):
            return None
    return None


def _listens(address: str) -> bool:
    """Return whether a process listens at a socket path or `host:port`; also if the network or the process is slow."""
    host, _, port = address.rpartition(":")
    try:
        if address.startswith("/"):
            with socket.socket(socket.AF_UNIX) as there:
                there.settimeout(CHECK_SECONDS)
                there.connect(address)
        else:
            socket.create_connection((host.strip("[]"), int(port)), CHECK_SECONDS).close()
    except (ConnectionRefusedError, FileNotFoundError):
        return False
    except OSError:
        return True
    return True
