"""`ray up` accepts cluster.yaml, and the cluster is as its comments say."""

import json
import re
import shlex
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def cluster() -> dict[str, Any]:
    """The file as `ray up` sees it: with Ray's defaults and with merged set-up commands."""
    config: dict[str, Any] = prepare_config(yaml.safe_load((ROOT / "cluster.yaml").read_text()))
    return config


@pytest.fixture
def head(cluster: dict[str, Any]) -> Any:
    return cluster["available_node_types"][cluster["head_node_type"]]


@pytest.fixture
def worker(cluster: dict[str, Any]) -> dict[str, Any]:
    (worker,) = (t for name, t in cluster["available_node_types"].items() if name != cluster["head_node_type"])
    return worker


def test_ray_accepts_it(cluster: dict[str, Any]) -> None:
    validate_config(cluster)


def test_the_head_runs_no_trial_and_is_on_demand(head: dict[str, Any]) -> None:
    assert head["resources"] == {"CPU": 0, "GPU": 0}
    assert "InstanceMarketOptions" not in head["node_config"]


def test_workers_have_a_gpu_run_on_spot_and_scale_from_zero(cluster: dict[str, Any], worker: dict[str, Any]) -> None:
    assert worker["resources"]["GPU"] >= 1
    assert worker["node_config"]["InstanceMarketOptions"]["MarketType"] == "spot"
    assert (worker["min_workers"], worker["max_workers"]) == (0, cluster["max_workers"])
    assert cluster["max_workers"] > 0
    assert 0 < cluster["idle_timeout_minutes"] <= 15


def test_the_limit_of_open_files_is_raised_as_far_as_the_user_may(cluster: dict[str, Any]) -> None:
    for role in ("head", "worker"):
        limit = cluster[f"{role}_start_ray_commands"][-1].partition("; RAY_AUTH_MODE")[0]
        done = subprocess.run(
            ["bash", "-c", f"ulimit -n 1000; {limit}; ulimit -n"], capture_output=True, text=True, check=True
        )
        assert (done.stdout, done.stderr) == ("1000\n", "")


def test_a_given_key_is_named_on_every_node(
    cluster: dict[str, Any], head: dict[str, Any], worker: dict[str, Any]
) -> None:
    assert "ssh_private_key" in cluster["auth"]
    assert head["node_config"]["KeyName"] == worker["node_config"]["KeyName"]


def test_the_token_is_mounted_and_required(cluster: dict[str, Any]) -> None:
    assert cluster["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    for role in ("head", "worker"):
        (start,) = (c for c in cluster[f"{role}_start_ray_commands"] if "ray start" in c)
        assert "RAY_AUTH_MODE=token" in start
        assert any("RAY_AUTH_MODE=token" in c and ".bashrc" in c for c in cluster[f"{role}_setup_commands"])


def test_no_node_reports_its_usage(cluster: dict[str, Any]) -> None:
    """Neither the processes that `ray up` starts, nor commands in the shells that Ray opens."""
    for role in ("head", "worker"):
        starts = [c for c in cluster[f"{role}_start_ray_commands"] if "ray start" in c]
        assert starts
        assert all("--disable-usage-stats" in shlex.split(c) for c in starts)
        assert any("RAY_USAGE_STATS_ENABLED=0" in c and ".bashrc" in c for c in cluster[f"{role}_setup_commands"])


def test_the_documented_launch_reports_nothing() -> None:
    """`ray up` asks on the terminal, and no answer means yes, unless the variable is set before."""
    page = (ROOT / "docs" / "cluster.md").read_text()
    blocks = re.findall(r"```bash\n(.*?)```", page, re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    exported = [line.partition("#")[0].strip() for line in lines].index("export RAY_USAGE_STATS_ENABLED=0")
    assert exported < min(i for i, line in enumerate(lines) if line.startswith("ray up"))
    starts = [line for line in lines if "ray start" in line]
    assert starts
    assert all("--disable-usage-stats" in line for line in starts)


def test_the_dashboard_listens_on_the_head_only(cluster: dict[str, Any]) -> None:
    assert "--dashboard-host=127.0.0.1" in shlex.split(cluster["head_start_ray_commands"][-1])


def test_every_file_that_the_install_reads_is_mounted(cluster: dict[str, Any]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = [name.rstrip("*") for name in project["tool"]["setuptools"]["packages"]["find"]["include"]]
    files = ["pyproject.toml", "constraints.txt", project["project"]["readme"], *project["project"]["license-files"]]
    for name in packages + files:
        assert cluster["file_mounts"][f"~/transfersweep-code/{name}"] == name
        assert (ROOT / name).exists()


def test_no_folder_in_the_home_of_a_node_looks_like_a_package(cluster: dict[str, Any]) -> None:
    """The driver's working folder is in the path of Ray's workers, and a folder is a package for Python."""
    in_home = {Path(mount).parts[1] for mount in cluster["file_mounts"]}
    assert in_home & {"search", "spaces", "trainable", "transfersweep"} == set()


@pytest.mark.parametrize("role", ["head", "worker"])
def test_every_node_installs_the_project_with_its_constraints(cluster: dict[str, Any], role: str) -> None:
    installs = [c for c in cluster[f"{role}_setup_commands"] if "pip install" in c]
    assert any(c.endswith("-e ~/transfersweep-code") for c in installs)
    assert all("-c ~/transfersweep-code/constraints.txt" in c for c in installs)
    assert "torch==2.13.0" in (ROOT / "constraints.txt").read_text().splitlines()


def test_bash_can_parse_every_command(cluster: dict[str, Any]) -> None:
    for key in (k for k in cluster if k.endswith("_commands")):
        for command in cluster[key]:
            subprocess.run(["bash", "-n", "-c", command], check=True)


def test_workers_start_from_the_image_of_the_head(cluster: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "ray_bootstrap_config.yaml").write_text(json.dumps(cluster))  # as Ray writes it on the head
    (command,) = (c for c in cluster["head_start_ray_commands"] if c.startswith("sed "))
    on_the_head = "sudo() { echo ami-0123; }; " + command
    subprocess.run(["bash", "-c", on_the_head], check=True, env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"})
    rewritten = json.loads((tmp_path / "ray_bootstrap_config.yaml").read_text())
    images = {t["node_config"]["ImageId"] for t in rewritten["available_node_types"].values()}
    assert images == {"ami-0123"}
