"""A sweep that joins a cluster with a token, and uses workers that join later; and the cluster's job server."""

import copy
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from yaml_text import dump_yaml

from search.jobs.client import Jobs, connect
from trainable.errors import ConfigError

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(400)]

RAY = str(Path(sys.executable).parent / "ray")


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The token lies in a file, as `cluster.yaml` mounts it."""
    token = tmp_path_factory.mktemp("token") / "auth_token"
    token.write_text(secrets.token_hex(32))
    token.chmod(0o600)
    return os.environ | {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        "RAY_USAGE_STATS_ENABLED": "0",
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "OMP_NUM_THREADS": "1",
        "RAY_raylet_start_wait_time_s": "120",  # two seconds on an idle machine
    }


@pytest.fixture(scope="module")
def dashboard_port(free_port: Callable[[], int]) -> int:
    return free_port()


@dataclass
class Nodes:
    """A head without CPUs, and raylets that join it later; they end by their process groups, not by `ray stop`."""

    address: str
    environment: dict[str, str]
    logs: Path
    free_port: Callable[[], int]
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, cpus: int, *role: str) -> None:
        command = [RAY, "start", *role, f"--num-cpus={cpus}", "--node-ip-address=127.0.0.1", "--block"]
        command += ["--disable-usage-stats", f"--dashboard-agent-listen-port={self.free_port()}"]
        log = self.logs / str(len(self.started))
        with log.open("wb") as output:
            node = subprocess.Popen(command, env=self.environment, stdout=output, stderr=output, start_new_session=True)
        self.started.append(node)
        _wait_for_nodes(self.address, len(self.started), self.environment, node, log)

    def start_worker(self) -> None:
        self.start(1, f"--address={self.address}")

    def end(self) -> None:
        for process in reversed(self.started):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
        for process in self.started:
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


@pytest.fixture(scope="module")
def nodes(
    environment: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
    free_port: Callable[[], int],
    dashboard_port: int,
) -> Iterator[Nodes]:
    port = free_port()
    nodes = Nodes(f"127.0.0.1:{port}", environment, tmp_path_factory.mktemp("ray"), free_port)
    dashboard = ["--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard_port}"]
    try:
        nodes.start(0, "--head", f"--port={port}", *dashboard)
        yield nodes
    finally:
        nodes.end()


@pytest.fixture(scope="module")
def address(nodes: Nodes) -> str:
    return nodes.address


def _wait_for_nodes(
    address: str, count: int, environment: dict[str, str], node: subprocess.Popen[bytes], log: Path
) -> None:
    script = f"import ray; ray.init('{address}', log_to_driver=False); print(sum(n['Alive'] for n in ray.nodes()))"
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        assert node.poll() is None, log.read_text()
        seen = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False
        )
        if seen.returncode == 0 and seen.stdout.strip() == str(count):
            return
        time.sleep(1)
    raise AssertionError(f"no {count} nodes at {address}: {seen.stderr[-2000:]} {log.read_text()[-2000:]}")


def _command(file: Path, storage: Path, address: str) -> list[str]:
    run = [sys.executable, "-m", "search", "run", str(file), "--storage", str(storage)]
    return [*run, "--address", address, "--json"]


def _wait_until(happened: Callable[[], bool], sweep: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 240
    while not happened():
        assert sweep.poll() is None and time.monotonic() < deadline, log.read_text()
        time.sleep(0.2)


def test_trials_run_on_workers_that_join_one_after_another(
    nodes: Nodes, environment: dict[str, str], blocks: dict[str, Any], tmp_path: Path
) -> None:
    changed = copy.deepcopy(blocks)
    point = {"source.enabled": False, "target.learning_rate": 1e-3, "target.epochs": 120}
    changed["sweep"] |= {"trials": 6, "confirm_seeds": 0, "scheduler": "none", "start_with": [point] * 6}
    changed["space"]["target.epochs"] = {"int": [1, 120]}
    file, log, storage = tmp_path / "joined.yaml", tmp_path / "log", tmp_path / "runs"
    file.write_text(dump_yaml(changed), encoding="utf-8")
    with log.open("wb") as stderr:
        sweep = subprocess.Popen(
            _command(file, storage, nodes.address),
            env=environment | {"TRANSFERSWEEP_WORKERS": "2"},
            stdout=subprocess.PIPE,
            stderr=stderr,
        )
    _wait_until(lambda: "0 of 2 workers have joined" in log.read_text(), sweep, log)
    nodes.start_worker()
    _wait_until(lambda: any(storage.glob("tiny/tune-*")), sweep, log)
    nodes.start_worker()
    output, _ = sweep.communicate()
    assert sweep.returncode == 0, log.read_text()
    outcome = json.loads(output)
    assert outcome["counts"]["finished"] == len(outcome["trials"])
    assert outcome["slots"] == 2
    # A worker has one CPU and a trial needs one: whoever trains at the same time trains on two of them.
    client = MlflowClient(outcome["tracking_uri"])
    reported = []
    for run in client.search_runs(["1"], "tags.`transfersweep.kind` = 'trial'"):
        times = [m.timestamp for m in client.get_metric_history(run.info.run_id, "target.validation.loss")]
        reported.append((min(times), max(times)))
    assert any(begin < end for (_, end), (begin, _) in pairwise(sorted(reported)))


def test_a_cluster_that_refuses_the_token_is_told(
    address: str, environment: dict[str, str], blocks: dict[str, Any], tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong_token"
    wrong.write_text(secrets.token_hex(32))
    wrong.chmod(0o600)
    file = tmp_path / "joined.yaml"
    file.write_text(dump_yaml(blocks), encoding="utf-8")
    command, told = _command(file, tmp_path / "runs", address), environment | {"RAY_AUTH_TOKEN_PATH": str(wrong)}
    done = subprocess.run(command, env=told, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert f"--address {address}: that cluster refuses the token from {wrong}" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "runs" / "tiny").exists()


@pytest.fixture
def jobs(
    address: str, environment: dict[str, str], dashboard_port: int, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Jobs]:
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", environment["RAY_AUTH_TOKEN_PATH"])
    with connect(f"http://127.0.0.1:{dashboard_port}") as connected:
        yield connected


def test_a_job_is_followed_to_its_end(jobs: Jobs) -> None:
    job = jobs.submit("first", "echo here; sleep 1; echo there")
    assert job.sweep == "first"
    said: list[str] = []
    assert jobs.follow(job, said.append).state == "finished"
    assert "here\nthere" in "".join(said)
    assert jobs.latest("first").ended is not None
    failed = jobs.follow(jobs.submit("first", "exit 3"), said.append)
    assert (failed.state, jobs.latest("first").id) == ("failed", failed.id)
    assert [each.id for each in jobs.of("first")] == [failed.id, job.id]


def test_a_job_is_stopped(jobs: Jobs) -> None:
    job = jobs.submit("second", "sleep 600")
    with pytest.raises(ConfigError, match="runs that sweep"):
        jobs.submit("second", "true")
    assert jobs.stop(job)
    assert jobs.follow(job, str).state == "stopped"
    assert not jobs.stop(job)
    with pytest.raises(ConfigError, match="no job for a sweep of that name"):
        jobs.latest("third")


def test_jobs_need_the_token(
    address: str, dashboard_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "none"))
    server = f"http://127.0.0.1:{dashboard_port}"
    with pytest.raises(ConfigError, match="refuses this user's token"), connect(server):
        pass
    (tmp_path / "none").write_text(secrets.token_hex(32))
    (tmp_path / "none").chmod(0o600)
    with pytest.raises(ConfigError, match="refuses this user's token"), connect(server):
        pass
