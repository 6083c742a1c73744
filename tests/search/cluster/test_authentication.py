"""Access to Ray: only this user if a sweep starts it; only holders of the token if a sweep joins a cluster."""

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray
from yaml_text import dump_yaml

from search.cluster import connection
from search.cluster.authentication import MODE, TOKEN, TOKEN_PATH, mode_of
from search.plan.settings import SweepSettings
from trainable.errors import ConfigError

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(300)]

TOKEN_OF_CLUSTER = secrets.token_hex(32)

ANOTHER_USER = """
import http.client, json, os, socket, sys, urllib.request
import grpc
folder, pids, ports, raylet = json.loads(sys.argv[1])
got_in = []

def attempt(what, action):
    try:
        action()
        got_in.append(what)
    except (OSError, http.client.HTTPException, grpc.RpcError):
        pass

def post(url):
    job = json.dumps({"entrypoint": "id"}).encode()
    request = urllib.request.Request(url, job, {"Content-Type": "application/json"})
    urllib.request.urlopen(request, timeout=5).read()

def ask(port):
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        channel.unary_unary("/ray.rpc.NodeInfoGcsService/CheckAlive")(b"", timeout=2)

# Once without effect, so that all is imported while the files can still be read.
attempt("", lambda: post("http://127.0.0.1:1"))
attempt("", lambda: ask(1))
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
attempt("lists the folder", lambda: os.listdir(folder))
attempt("reaches the raylet's socket", lambda: socket.socket(socket.AF_UNIX).connect(raylet))
attempt("reads ~/.ray/auth_token", lambda: open(os.path.expanduser("~/.ray/auth_token")).read())
for pid in pids:
    attempt(f"reads the environment of {pid}", lambda: open(f"/proc/{pid}/environ").read())
for port in ports:
    attempt(f"submits a job at {port}", lambda: post(f"http://127.0.0.1:{port}/api/jobs/"))
    attempt(f"submits a job to the agent at {port}", lambda: post(f"http://127.0.0.1:{port}/api/job_agent/jobs/"))
    attempt(f"asks the head at {port}", lambda: ask(port))
print(json.dumps(got_in))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("workers", [1, 2], ids=["without a dashboard", "with a dashboard"])
def test_another_user_of_the_machine_has_no_access(
    workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o755)
    monkeypatch.setenv("HOME", str(tmp_path))
    connection.join(None, SweepSettings(name="tiny", workers_per_trial=workers))
    try:
        assert ray.get(ray.remote(lambda: 1).remote()) == 1
        node = ray._private.worker._global_node
        assert node is not None
        processes = psutil.Process().children(recursive=True)
        sockets = [c for p in processes for c in p.net_connections("inet") if c.status == "LISTEN"]
        ports = sorted({c.laddr.port for c in sockets})
        facts = [node.get_temp_dir_path(), [p.pid for p in processes], ports, node.raylet_socket_name]
        command = [sys.executable, "-c", ANOTHER_USER, json.dumps(facts)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    finally:
        connection.leave()
    assert done.returncode == 0, done.stderr
    assert ports
    assert json.loads(done.stdout) == []
    assert not (tmp_path / ".ray").exists()


def test_no_server_that_runs_jobs_where_nothing_needs_it() -> None:
    connection.join(None, SweepSettings(name="tiny"))
    try:
        names = [p.name() for p in psutil.Process().children(recursive=True)]
        node = ray._private.worker._global_node
        assert node is not None
        assert node.dashboard_agent_listen_port == -1  # for Ray: none
        assert not any(name.startswith("ray-dashboard") for name in names)
        assert MODE not in os.environ
        assert TOKEN not in os.environ
    finally:
        connection.leave()


@pytest.fixture(scope="module", params=["token", "disabled"])
def head(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int]
) -> Iterator[tuple[str, str]]:
    """Return a cluster's mode and its address."""
    mode, port = str(request.param), free_port()
    environment = os.environ | {MODE: mode, "PYTHONPATH": str(Path(__file__).parents[3])}
    environment |= {TOKEN: TOKEN_OF_CLUSTER} if mode == "token" else {}
    command = [str(Path(sys.executable).parent / "ray"), "start", "--head", f"--port={port}", "--num-cpus=1", "--block"]
    command += ["--node-ip-address=127.0.0.1", "--include-dashboard=false", "--disable-usage-stats"]
    folder = f"/tmp/tsweep-{secrets.token_hex(4)}"  # a short path, for its sockets
    command += [f"--temp-dir={folder}"]
    log = tmp_path_factory.mktemp("ray") / "head"
    with log.open("wb") as file:
        process = subprocess.Popen(command, env=environment, stdout=file, stderr=file, start_new_session=True)
    try:
        deadline = time.monotonic() + 120
        while "runtime started" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.5)
        yield mode, f"127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=60)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a home folder without a token; no mode is set."""
    for name in (MODE, TOKEN, TOKEN_PATH):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def write_token(home: Path, token: str, mode: int = 0o600) -> Path:
    file = home / ".ray" / "auth_token"
    file.parent.mkdir(exist_ok=True)
    file.write_text(token)
    file.chmod(mode)
    return file


def test_the_mode_is_the_clusters(head: tuple[str, str], home: Path) -> None:
    mode, address = head
    write_token(home, TOKEN_OF_CLUSTER)
    assert mode_of(address, address) == mode


def test_a_mode_that_is_not_the_clusters_is_refused(
    head: tuple[str, str], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mode, address = head
    write_token(home, TOKEN_OF_CLUSTER)
    other, way_out = ("disabled", "export RAY_AUTH_MODE=token") if mode == "token" else ("token", "unset RAY_AUTH_MODE")
    monkeypatch.setenv(MODE, other)
    with pytest.raises(ConfigError, match=f"RAY_AUTH_MODE={other} is set, but .*; {way_out}"):
        mode_of(address, address)


def test_a_token_that_is_missing_or_wrong_or_readable_by_others_is_refused(head: tuple[str, str], home: Path) -> None:
    mode, address = head
    if mode != "token":
        assert mode_of(address, address) == mode  # this reads no token
        return
    with pytest.raises(ConfigError, match="needs a token, and no token is set; copy the head's ~/.ray/auth_token"):
        mode_of(address, address)
    file = write_token(home, secrets.token_hex(32))
    with pytest.raises(ConfigError, match=f"refuses the token from {file}"):
        mode_of(address, address)
    write_token(home, TOKEN_OF_CLUSTER, 0o644)
    with pytest.raises(ConfigError, match=f"other users .* can read Ray's token, .*`chmod 600 {file}`"):
        mode_of(address, address)


def test_a_sweep_joins_a_cluster_of_either_mode_unless_another_mode_is_set(
    head: tuple[str, str], home: Path, blocks: dict[str, Any]
) -> None:
    """Once, a driver with a token and a cluster without one lost every trial, and the sweep reported success."""
    mode, address = head
    write_token(home, TOKEN_OF_CLUSTER)
    blocks["sweep"] |= {"trials": 1, "confirm_seeds": 0}
    file = home / "joined.yaml"
    file.write_text(dump_yaml(blocks), encoding="utf-8")
    command = [sys.executable, "-m", "search", "run", str(file), "--storage", str(home / "runs"), "--json"]
    command += ["--address", address]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    refusing = environment | {MODE: "disabled" if mode == "token" else "token"}
    refused = subprocess.run(command, env=refusing, capture_output=True, text=True, check=False)
    assert refused.returncode == 2, refused.stderr
    *steps, refusal = refused.stderr.splitlines()
    assert steps == ["tiny: reading the data", "tiny: joining Ray, and trying one batch"]
    assert refusal.startswith(f"--address {address}: ")
    assert not (home / "runs" / "tiny").exists()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["counts"]["finished"] == 1


def test_the_mode_is_disabled_if_no_head_of_ray_answers(free_port: Callable[[], int], home: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", free_port()))
        address = f"127.0.0.1:{other.getsockname()[1]}"
        assert mode_of(address, address) == "disabled"
