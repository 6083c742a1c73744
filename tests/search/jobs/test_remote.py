"""What is refused before the cluster is asked."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from search.__main__ import app
from search.cluster.workers import expected_workers
from search.jobs.remote import Cluster
from trainable.errors import ConfigError


def test_the_cluster_file_must_exist(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["status", "tiny", "--cluster", str(tmp_path / "none.yaml")])
    assert result.exit_code == 2
    assert "no such file; name the file that was given to `ray up`" in result.stderr


@pytest.mark.parametrize("storage", ["~/my sweeps", "$HOME/sweeps", "a;b", "", "~me/sweeps~"])
def test_a_shell_must_not_change_the_storage(storage: str, tmp_path: Path) -> None:
    file = tmp_path / "cluster.yaml"
    file.write_text("cluster_name: mine\n")
    with pytest.raises(ConfigError, match="--cluster-storage"):
        Cluster(file, storage)


def test_a_cluster_that_is_not_up_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    file = tmp_path / "cluster.yaml"
    file.write_text(
        "cluster_name: nowhere\nprovider: {type: local, head_ip: 127.0.0.1, worker_ips: []}\nauth: {ssh_user: nobody}\n"
    )
    with pytest.raises(ConfigError, match="is the cluster up"):
        Cluster(file, "~/sweeps").run("true")


@pytest.mark.parametrize(("file", "most"), [("cluster", 8), ("clusters/gcp", 8), ("clusters/own-machines", 1)])
def test_how_many_workers_will_join_is_in_the_file(file: str, most: int) -> None:
    assert Cluster(Path(__file__).parents[3] / f"{file}.yaml", "~/sweeps").most_workers == most


def test_the_number_of_workers_must_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRANSFERSWEEP_WORKERS", "many")
    with pytest.raises(ConfigError, match="TRANSFERSWEEP_WORKERS=many: must be"):
        expected_workers()
