"""What is sent to a cluster: an experiment whose files are beside it."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from yaml_text import dump_yaml

from search.errors import PlanError
from search.jobs.shipment import EXPERIMENT, check_passwords, pack
from search.plan.plan import Plan, load_plan
from trainable.data.reading.read_tables import find_files
from trainable.errors import ConfigError


def planned(blocks: dict[str, Any], folder: Path) -> Plan:
    file = folder / "mine.yaml"
    file.write_text(dump_yaml(blocks), encoding="utf-8")
    return load_plan(file)


def sent(plan: Plan, folder: Path) -> Path:
    folder.mkdir()
    pack(plan, folder)
    return folder


def test_the_same_experiment_arrives(blocks: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the folder is on the cluster, and without the files of this machine."""
    monkeypatch.chdir(tmp_path)
    blocks["space"]["encoder"] = {"choice": [blocks["trial"].pop("encoder"), "bert-base-uncased"]}
    shutil.copy(blocks["trial"]["target"]["dataset"]["csv"], "own.csv")
    blocks["trial"]["target"]["dataset"]["csv"] = "own.csv"
    plan = planned(blocks, tmp_path)
    folder = sent(plan, tmp_path / "sent").rename(tmp_path / "elsewhere")
    (tmp_path / "own.csv").unlink()
    arrived = load_plan(folder / EXPERIMENT)
    assert arrived.settings == plan.settings
    assert arrived.space.names == plan.space.names
    encoders = arrived.space.to_mapping()["encoder"]["choice"]
    assert encoders[1] == "bert-base-uncased"
    assert (folder / encoders[0] / "config.json").is_file()
    config = arrived.config({"encoder": encoders[0], "target.learning_rate": 1e-3, "target.epochs": 1})
    (table,) = find_files(config.target.dataset, arrived.roots).values()
    assert table.is_relative_to(folder)


def test_a_table_that_two_stages_use_is_sent_once(blocks: dict[str, Any], tmp_path: Path) -> None:
    blocks["trial"]["source"]["dataset"] = blocks["trial"]["target"]["dataset"]
    folder = sent(planned(blocks, tmp_path), tmp_path / "sent")
    assert [file.name for file in (folder / "data").iterdir()] == ["1-tweets.csv"]


def test_a_password_is_not_sent(blocks: dict[str, Any], tmp_path: Path) -> None:
    blocks["sweep"]["tracking_uri"] = "https://me:secret@mlflow.example.com"
    with pytest.raises(PlanError, match="MLFLOW_TRACKING_PASSWORD") as error:
        check_passwords(planned(blocks, tmp_path))
    assert "secret" not in str(error.value)


def test_a_missing_encoder_is_told(blocks: dict[str, Any], tmp_path: Path) -> None:
    plan = planned(blocks, tmp_path)
    plan.base["encoder"] = "./gone"
    with pytest.raises(ConfigError, match="no such folder"):
        sent(plan, tmp_path / "sent")
