"""A port that is forwarded to the head of a cluster; tests/test_ray_up.py opens one over SSH."""

import socket
from pathlib import Path

import pytest

from search.jobs import tunnel
from search.jobs.launcher import failure
from search.jobs.tunnel import open_tunnel, unused_port
from trainable.errors import ConfigError


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    file = tmp_path / "cluster.yaml"
    file.write_text(
        "cluster_name: nowhere\nprovider: {type: local, head_ip: 127.0.0.1, worker_ips: []}\nauth: {ssh_user: nobody}\n"
    )
    return file


def test_a_port_that_is_in_use_is_told(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tunnel, "PERSIST_SECONDS", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(ConfigError, match=f"--port {port}: another program"), open_tunnel(nowhere, port, 5000):
            pass


def test_a_cluster_that_is_not_up_is_told(nowhere: Path) -> None:
    with pytest.raises(ConfigError, match="is the cluster up"), open_tunnel(nowhere, unused_port(), 5000):
        pass


def test_the_reason_of_a_failure_is_the_last_line_of_the_command() -> None:
    output = """2026-12-01 04:46:45,100\tINFO node_provider.py:114 -- ClusterState: Loaded cluster state: []
Error: Invalid value for '--port': no port
Shared connection to 198.18.1.11 closed.
Error: Command failed:
\x1b[1m  ssh -tt -i key root@198.18.1.11 bash --login -c -i 'transfersweep ui'\x1b[22m
"""
    reason = "Error: Invalid value for '--port': no port"
    assert f"the page failed: {reason}; is" in str(failure(Path("c.yaml"), "the page", output))
