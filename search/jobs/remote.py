"""A cluster that `ray up` has started: run commands on its head, copy folders, reach its job server.

Ray's own launcher does all of it over SSH. It runs in processes of its own, because it prints and exits as it likes.
"""

import json
import os
import re
import shlex
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

from search.wording import last_line
from trainable.errors import ConfigError
from trainable.settings.yaml_file import load_yaml

DASHBOARD_PORT = 8265
"""The port on the head that Ray's dashboard and job server listen on."""
TUNNEL_SECONDS = 120.0
"""Longest wait for the SSH connection to the job server."""
PLAIN_FOLDER = r"~?[\w./-]+"
"""A folder on the cluster whose path no shell changes."""
_FOUND = "found-in-the-storage"
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
# An unused port can only be forwarded with the launcher's functions: `ray exec --port-forward` has one number for both.
_FORWARD = """
import sys
from ray.autoscaler.sdk import run_on_cluster
file, local, remote = sys.argv[1:]
run_on_cluster(file, cmd="sleep infinity", port_forward=[(int(local), int(remote))])
"""


@dataclass(frozen=True)
class Cluster:
    """A running cluster.

    Args:
        file: the file with which `ray up` has started it.
        storage: the folder that all its nodes share, as a path on the cluster; it may begin with `~`.

    Raises:
        ConfigError: if there is no such file, or the folder's name has characters that a shell would change.
    """

    file: Path
    storage: str

    def __post_init__(self) -> None:
        if not self.file.is_file():
            raise ConfigError(f"--cluster {self.file}: no such file; name the file that was given to `ray up`")
        if not re.fullmatch(PLAIN_FOLDER, self.storage):
            raise ConfigError(
                f"--cluster-storage {self.storage}: must consist of letters, digits and ./_-, and may begin with ~"
            )

    @property
    def most_workers(self) -> int:
        """Return the largest number of workers besides the head, as the file says it; 0 if it does not."""
        config = load_yaml(self.file)
        machines = config.get("provider", {}).get("worker_ips")
        limits = [config.get("max_workers"), None if machines is None else len(machines)]
        return min((int(limit) for limit in limits if limit is not None), default=0)

    def run(self, command: str) -> str:
        """Run a shell command on the head; return its output, among messages of Ray.

        Raises:
            ConfigError: if the cluster is not up, or the command fails.
        """
        return self._ray(self.file, "exec", command)

    def has(self, name: str) -> bool:
        """Return whether the storage has a file or folder of that name."""
        quoted = f"'{_FOUND[0]}'{_FOUND[1:]}"  # Ray's messages repeat the command
        return _FOUND in self.run(f"if [ -e {self.storage}/{name} ]; then echo {quoted}; fi")

    def upload(self, folder: Path, to: str) -> None:
        """Copy the contents of a folder to a folder of the cluster's storage, and delete what else is there.

        Raises:
            ConfigError: if the cluster is not up, or cannot be written to.
        """
        there = f"{self.storage}/{to}"
        self.run(f"rm -rf {there} && mkdir -p {there}")
        self._ray(self.file, "rsync-up", f"{folder}/", f"{there}/")

    def download(self, name: str, to: Path, leave_out: Sequence[str] = ()) -> None:
        """Copy a file of the cluster's storage, or with a final `/` the contents of a folder.

        Args:
            name: the path in the storage.
            to: a folder on this machine.
            leave_out: patterns of names, as rsync reads them.

        Raises:
            ConfigError: if the cluster is not up, or has no such file.
        """
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "cluster.yaml"  # JSON is YAML too
            copy.write_text(json.dumps(load_yaml(self.file) | {"rsync_exclude": list(leave_out)}), encoding="utf-8")
            self._ray(copy, "rsync-down", f"{self.storage}/{name}", f"{to}/")

    @contextmanager
    def job_server(self) -> Iterator[str]:
        """Forward a free port of this machine to the cluster's job server; yield the address.

        Raises:
            ConfigError: if the cluster is not up, or its job server does not answer.
        """
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        command = [sys.executable, "-c", _FORWARD, str(self.file), str(port), str(DASHBOARD_PORT)]
        with TemporaryFile() as output:
            tunnel = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=_environment(),
                start_new_session=True,  # Ctrl-C ends the command first, which may still need the connection
            )
            try:
                deadline = time.monotonic() + TUNNEL_SECONDS
                while not _listens(port):
                    if tunnel.poll() is not None or time.monotonic() > deadline:
                        output.seek(0)
                        raise self._failed(output.read().decode(errors="replace"))
                    time.sleep(0.2)
                yield f"http://127.0.0.1:{port}"
            finally:
                tunnel.terminate()
                tunnel.wait()

    def _ray(self, file: Path, command: str, *arguments: str) -> str:
        ray = str(Path(sys.executable).parent / "ray")
        done = subprocess.run(
            [ray, command, str(file), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            env=_environment(),
            check=False,
        )
        if done.returncode:
            raise self._failed(done.stdout, shlex.join([command, *arguments]))
        return done.stdout

    def _failed(self, output: str, what: str = "the connection to its job server") -> ConfigError:
        reason = last_line(_COLOUR.sub("", output)) or "it says no reason"
        return ConfigError(f"--cluster {self.file}: {what} failed: {reason}; is the cluster up? See `ray up`")


def _environment() -> dict[str, str]:
    return os.environ | {"RAY_USAGE_STATS_ENABLED": "0"}


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1.0).close()
    except OSError:
        return False
    return True
