"""A cluster that `ray up` has started: run commands on its head, copy folders, reach its job server."""

import json
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from search.jobs.launcher import launch
from search.jobs.tunnel import open_tunnel, unused_port
from trainable.errors import ConfigError
from trainable.settings.yaml_file import load_yaml

DASHBOARD_PORT = 8265
"""The port on the head that Ray's dashboard and job server listen on."""
PLAIN_FOLDER = r"~?[\w./-]+"
"""A folder on the cluster whose path no shell changes."""
_FOUND = "found-in-the-storage"


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
        return launch(self.file, "exec", command)

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
        launch(self.file, "rsync-up", f"{folder}/", f"{there}/")

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
            launch(copy, "rsync-down", f"{self.storage}/{name}", f"{to}/")

    @contextmanager
    def job_server(self) -> Iterator[str]:
        """Forward a free port of this machine to the cluster's job server; yield the address.

        Raises:
            ConfigError: if the cluster is not up, or its job server does not answer.
        """
        port = unused_port()
        with open_tunnel(self.file, port, DASHBOARD_PORT):
            yield f"http://127.0.0.1:{port}"
