"""Notices within seconds that Ray has died, which calls to it may not say for minutes, and some never."""

import errno
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from search.cluster.ray_internals import ray_addresses
from search.engine.stop_request import StopRequest
from search.errors import StoppedError

CHECK_SECONDS = 1.0
HEAD_SECONDS = 20.0
"""How long the head of a cluster may be away, as while it is started again; all else does not come back."""
BROKEN_OFF = {os.strerror(number) for number in (errno.EPIPE, errno.ECONNRESET, errno.ECONNREFUSED)}
"""All that Ray's errors say where it has died; those of the operating system say their number too."""


@contextmanager
def stop_if_ray_dies(stop: StopRequest, head_seconds: float, resume: str) -> Iterator[None]:
    """Within it, a Ray that dies halts the sweep at once: the main thread is interrupted as by Ctrl-C.

    Args:
        stop: asked to end the sweep.
        head_seconds: how long the head may be away.
        resume: the command that goes on with the sweep.

    Raises:
        StoppedError: if Ray has died and nobody else has dealt with the interrupt.
    """
    try:
        with _watching(head_seconds, lambda reason: stop.request(reason, at_once=True)), explain_lost_ray(resume):
            yield
    except KeyboardInterrupt:
        if stop.problem is None:
            raise
        raise StoppedError(f"{stop.problem}, then `{resume}`") from None


@contextmanager
def explain_lost_ray(resume: str) -> Iterator[None]:
    """Turn what a call to a Ray that has just died raises into one sentence.

    Later calls end the process: Ray's own code does that when it has found nobody for a minute.

    Raises:
        StoppedError: if Ray is no longer there.
    """
    try:
        yield
    except OSError as error:
        if str(error) not in BROKEN_OFF:
            raise
        raise StoppedError(f"the connection to Ray broke off ({error}); once it is there again: `{resume}`") from None


@contextmanager
def _watching(head_seconds: float, died: Callable[[str], None]) -> Iterator[None]:
    """Say what has died, from another thread, then interrupt the main one."""
    raylet, head = ray_addresses()
    ended = threading.Event()
    in_main = threading.current_thread() is threading.main_thread()  # no other can be interrupted

    def watch() -> None:
        while not ended.wait(CHECK_SECONDS):
            if reason := _death(raylet, head, head_seconds, ended):
                died(reason)
                if in_main:
                    os.kill(os.getpid(), signal.SIGINT)
                return

    thread = threading.Thread(target=watch, name="ray-watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _death(raylet: str, head: str, head_seconds: float, ended: threading.Event) -> str | None:
    """What of Ray has died, if anything."""
    if not _there(raylet):
        return "Ray's process on this machine (raylet) has died; nothing is lost: see that there is memory for it"
    gone = time.monotonic()
    while not _there(head):
        if time.monotonic() - gone >= head_seconds:
            return f"the head of Ray ({head}) has died; nothing is lost: see that it runs again"
        if ended.wait(CHECK_SECONDS):
            return None
    return None


def _there(address: str) -> bool:
    """Whether a process has this socket, a path or `host:port`; slow networks and busy processes count as there."""
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
