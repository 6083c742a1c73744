"""`ray up` with the text of cluster.yaml, a sweep whose workers join late and of which one loses its power, its page.

Only provider, user and images differ from cluster.yaml: the hosts are on this machine.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hosts import Host, Hosts, HostsUnavailableError
from mlflow import MlflowClient
from yaml_text import dump_yaml

pytestmark = [
    *(pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(1500)),
    # It takes 10 to 15 minutes on two busy cores, more than the CI has left.
    pytest.mark.skipif("TRANSFERSWEEP_HOSTS" not in os.environ, reason="set TRANSFERSWEEP_HOSTS=1 to run it"),
]

ROOT = Path(__file__).parents[1]
PROGRAMS = Path(sys.executable).parent
TRIALS = 4


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    """A head and two workers."""
    try:
        with Hosts(tmp_path_factory.mktemp("hosts"), 3) as started:
            yield started
    except HostsUnavailableError as error:
        pytest.skip(str(error))


@pytest.fixture
def laptop(tmp_path: Path) -> dict[str, str]:
    """The environment of a user on another machine, whose settings are not those of this one."""
    home = tmp_path / "home"
    home.mkdir()
    variables = {"HOME": str(home), "TMPDIR": str(home), "PYTHONPATH": str(ROOT), "RAY_USAGE_STATS_ENABLED": "0"}
    # The second version of Ray's autoscaler starts no workers of the provider `local`.
    return os.environ | variables | {"RAY_UP_enable_autoscaler_v2": "0"}


def without(block: str, text: str) -> str:
    """Return YAML text without a top-level block."""
    shorter, count = re.subn(rf"(?m)^{block}:.*\n(?:(?:[ #].*)?\n)*", "", text)
    assert count == 1, block
    return shorter


def on_own_machines(text: str, hosts: Hosts) -> str:
    """Return cluster.yaml for these hosts."""
    for block in ("provider", "auth", "available_node_types", "head_node_type"):
        text = without(block, text)
    text, count = re.subn(r"(?m)^  - .* boto3 .*\n", "", text)  # calls EC2
    assert count == 1
    head, *workers = (host.address for host in hosts.hosts)
    provider = {"type": "local", "head_ip": head, "worker_ips": workers}
    own = {"provider": provider, "auth": {"ssh_user": "root", "ssh_private_key": str(hosts.key)}}
    return text + yaml.safe_dump(own)


def wait_for(what: str, happened: Callable[[], bool], seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, what
        time.sleep(0.5)


def runs_ray(host: Host) -> bool:
    """Return whether Ray can run anything there; its log monitor may outlive it on a worker."""
    return any("raylet/raylet" in line or line.startswith("ray::") for line in host.processes())


def trains(host: Host) -> bool:
    return any(line.startswith("ray::TuneTrial") for line in host.processes())


def check_page(command: list[str], port: int, environment: dict[str, str], folder: Path) -> None:
    """Look at the MLflow page that a command serves; end it as Ctrl-C does."""
    log = folder / "ui.log"
    with log.open("wb") as stderr:
        page = subprocess.Popen(command, cwd=folder, env=environment, stderr=stderr)
    wait_for("the page", lambda: "end it with Ctrl-C" in log.read_text() or page.poll() is not None)
    assert f"MLflow shows tiny, the best trials first:\n  http://127.0.0.1:{port}" in log.read_text()
    runs = MlflowClient(f"http://127.0.0.1:{port}").search_runs(["1"], "tags.`transfersweep.kind` = 'trial'")
    assert len(runs) == TRIALS
    page.send_signal(signal.SIGINT)
    assert page.wait() == 0


def test_a_sweep_on_hosts_of_which_one_loses_its_power(
    hosts: Hosts, laptop: dict[str, str], blocks: dict[str, Any], tmp_path: Path, free_port: Callable[[], int]
) -> None:
    port = free_port()
    cluster = tmp_path / "own-cluster.yaml"
    cluster.write_text(on_own_machines((ROOT / "cluster.yaml").read_text(), hosts))

    def on_laptop(program: str, *arguments: str, folder: Path = tmp_path) -> str:
        done = subprocess.run(
            [str(PROGRAMS / program), *arguments], cwd=folder, env=laptop, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{program} {arguments}: {done.stdout[-3000:]} {done.stderr[-3000:]}"
        return done.stdout

    def transfersweep(*arguments: str) -> str:
        return on_laptop("python", "-m", "search", *arguments)

    on_laptop("ray", "get-auth-token", "--generate")
    Path(laptop["HOME"], ".ray", "auth_token").chmod(0o600)
    on_laptop("ray", "up", "--yes", str(cluster), folder=ROOT)

    point = {"source.enabled": False, "target.learning_rate": 1e-3, "target.epochs": 300}
    budget = {
        "trials": TRIALS,
        "confirm_seeds": 0,
        "scheduler": "none",
        "checkpoint_seconds": 1,
        "max_concurrent": TRIALS,
    }
    blocks["sweep"] |= budget | {"start_with": [point] * TRIALS}
    blocks["space"]["target.epochs"] = {"int": [1, 300]}
    (tmp_path / "tiny.yaml").write_text(dump_yaml(blocks), encoding="utf-8")
    head, first, second = hosts.hosts
    transfersweep("submit", "tiny.yaml", "--cluster", str(cluster), "--detach")
    wait_for("trials on both workers", lambda: trains(first) and trains(second))
    second.pull_power_cord()
    transfersweep("logs", "tiny", "--cluster", str(cluster))
    assert json.loads(transfersweep("status", "tiny", "--cluster", str(cluster), "--json"))["state"] == "finished"
    outcome = json.loads(transfersweep("fetch", "tiny", "--cluster", str(cluster), "--json"))
    ui = [str(PROGRAMS / "python"), "-m", "search", "ui", "tiny", "--cluster", str(cluster), "--port", str(port)]
    check_page(ui, port, laptop, tmp_path)
    wait_for("no MLflow on the head", lambda: not any("mlflow" in line for line in head.processes()))

    on_laptop("ray", "down", "--yes", str(cluster), folder=ROOT)

    assert [trial["state"] for trial in outcome["trials"]] == ["finished"] * TRIALS
    assert len({trial["value"] for trial in outcome["trials"]}) == 1  # the settings are the same
    assert transfersweep("show", "tiny", "--json")
    transfersweep("export", "tiny", "--to", "model")
    texts = tmp_path / "texts.csv"
    texts.write_text("text\na fine film\n", encoding="utf-8")
    assert len(transfersweep("predict", "model", str(texts)).splitlines()) == 2
    # Ray on a worker ends a minute after it has lost the head.
    wait_for("no process of Ray", lambda: not runs_ray(head) and not runs_ray(first))
