"""A sweep that joins a cluster of two raylets, with a token, and uses both; and the cluster's job server."""

import copy
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
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
    }


@pytest.fixture(scope="module")
def dashboard_port(free_port: Callable[[], int]) -> int:
    return free_port()


@pytest.fixture(scope="module")
def address(
    environment: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
    free_port: Callable[[], int],
    dashboard_port: int,
) -> Iterator[str]:
    """A head and a second raylet, one CPU each; ended by their process groups, not by `ray stop`."""
    address = f"127.0.0.1:{free_port()}"
    head = [
        "--head",
        f"--port={address.rpartition(':')[2]}",
        "--node-ip-address=127.0.0.1",
        "--dashboard-host=127.0.0.1",
        f"--dashboard-port={dashboard_port}",
    ]
    logs = tmp_path_factory.mktemp("ray")
    started = []
    try:
        for name, role in (("head", head), ("second", [f"--address={address}", "--node-ip-address=127.0.0.1"])):
            command = [RAY, "start", *role, "--num-cpus=1", "--block", "--disable-usage-stats"]
            command.append(f"--dashboard-agent-listen-port={free_port()}")
            with (logs / name).open("wb") as log:
                started.append(
                    subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
                )
            _wait_for_nodes(address, len(started), environment, started[-1], logs / name)
        yield address
    finally:
        for process in reversed(started):
            os.killpg(process.pid, signal.SIGTERM)
        for process in started:
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


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


def _run(file: Path, storage: Path, address: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "search", "run", str(file), "--storage", str(storage), "--address", address]
    return subprocess.run([*command, "--json"], env=environment, capture_output=True, text=True, check=False)


def test_trials_run_on_both_nodes(
    address: str, environment: dict[str, str], blocks: dict[str, Any], tmp_path: Path
) -> None:
    changed = copy.deepcopy(blocks)
    point = {"source.enabled": False, "target.learning_rate": 1e-3, "target.epochs": 120}
    changed["sweep"] |= {"trials": 4, "confirm_seeds": 0, "scheduler": "none", "start_with": [point] * 4}
    changed["space"]["target.epochs"] = {"int": [1, 120]}
    file = tmp_path / "joined.yaml"
    file.write_text(dump_yaml(changed), encoding="utf-8")
    done = _run(file, tmp_path / "runs", address, environment)
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)
    assert outcome["counts"]["finished"] == len(outcome["trials"])
    # A raylet has one CPU and a trial needs one: whoever trains at the same time trains on two of them.
    client = MlflowClient(outcome["tracking_uri"])
    reported = []
    for run in client.search_runs(["1"], "tags.`transfersweep.kind` = 'trial'"):
        times = [m.timestamp for m in client.get_metric_history(run.info.run_id, "target.validation.loss")]
        reported.append((min(times), max(times)))
    (_, first_end), (second_start, _), *_ = sorted(reported)
    assert second_start < first_end


def test_a_cluster_that_refuses_the_token_is_told(
    address: str, environment: dict[str, str], blocks: dict[str, Any], tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong_token"
    wrong.write_text(secrets.token_hex(32))
    wrong.chmod(0o600)
    file = tmp_path / "joined.yaml"
    file.write_text(dump_yaml(blocks), encoding="utf-8")
    done = _run(file, tmp_path / "runs", address, environment | {"RAY_AUTH_TOKEN_PATH": str(wrong)})
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
