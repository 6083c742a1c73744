"""A port of this machine that Ray's launcher forwards to the head of a cluster, while a command runs there."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from search.jobs.launcher import environment, failure
from trainable.errors import ConfigError

CONNECT_SECONDS = 120.0
"""Longest wait for the connection."""
PERSIST_SECONDS = 12.0
"""The launcher's SSH connections, and the ports that they forward, stay open 10 seconds after their last use."""
# An unused port can only be forwarded with the launcher's functions: `ray exec --port-forward` has one number for both.
# The launcher and its SSH end when this process closes the pipe, or has died.
_FORWARD = """
import os, signal, sys, threading, click
from ray.autoscaler.sdk import run_on_cluster
file, local, remote, command = sys.argv[1:]
threading.Thread(target=lambda: [sys.stdin.read(), os.killpg(0, signal.SIGTERM)], daemon=True).start()
try:
    run_on_cluster(file, cmd=command, port_forward=[(int(local), int(remote))])
except click.ClickException:  # the command has failed; what it has written says why
    sys.exit(1)
"""


@dataclass(frozen=True)
class Tunnel:
    """An open connection."""

    file: Path
    process: "subprocess.Popen[bytes]"
    """Ends when the command or the connection ends."""
    _output: IO[bytes]

    def failed(self) -> ConfigError:
        """Return the error that says why it has ended, from the last line that the command has written."""
        self._output.seek(0)
        return failure(self.file, "the connection to its head", self._output.read().decode(errors="replace"))


@contextmanager
def open_tunnel(file: Path, port: int, remote: int, command: str = "sleep infinity") -> Iterator[Tunnel]:
    """Forward a port of this machine to a port of the head, while a command runs there.

    Args:
        file: the file that was given to `ray up`.
        port: of this machine.
        remote: port of the head.
        command: for the shell of the head; it ends with the connection.

    Raises:
        ConfigError: if the port is in use, the cluster is not up, or the command ends at once.
    """
    _wait_until_free(port)
    with TemporaryFile() as output:
        process = subprocess.Popen(
            [sys.executable, "-c", _FORWARD, str(file), str(port), str(remote), command],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment(),
            start_new_session=True,  # Ctrl-C ends this process first, which may still need the connection
        )
        with process:  # closes the pipe and waits
            tunnel = Tunnel(file, process, output)
            deadline = time.monotonic() + CONNECT_SECONDS
            while not _listens(port):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise tunnel.failed()
                time.sleep(0.2)
            yield tunnel


def unused_port() -> int:
    """Return a port of this machine on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_free(port: int) -> None:
    deadline = time.monotonic() + PERSIST_SECONDS
    while not _is_free(port):
        if time.monotonic() > deadline:
            raise ConfigError(f"--port {port}: another program of this machine listens there; choose another number")
        time.sleep(0.2)


def _is_free(port: int) -> bool:
    """Return whether nothing listens; a connection to ask for it would keep a forwarded port open."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1.0).close()
    except OSError:
        return False
    return True
