"""`python -m trainable` runs a trial without Ray, Optuna and MLflow, and prints mistakes as sentences."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from trainable import __main__ as command
from trainable.checkpoint import load_trained
from trainable.model.pooling import with_pooling
from trainable.settings.config import build_config
from trainable.trial import run_trial
from trainable.workspace import Workspace

WITHOUT = "import runpy, sys; sys.modules.update(dict.fromkeys(['ray', 'optuna', 'mlflow', 'search', 'spaces'])); "


@pytest.fixture
def file(base: dict[str, Any], tmp_path: Path) -> Path:
    """Write an experiment file without a space."""
    path = tmp_path / "experiment.yaml"
    path.write_text(yaml.safe_dump({"sweep": {"name": "x", "scheduler": "none"}, "trial": base}), encoding="utf-8")
    return path


def test_another_process_without_ray_gives_the_same_numbers(
    file: Path, base: dict[str, Any], workspace: Workspace, tmp_path: Path
) -> None:
    code = WITHOUT + "runpy.run_module('trainable', run_name='__main__', alter_sys=True)"
    arguments = [str(file), "--set", "target.epochs=1", "--set", "source.enabled=true", "--save", str(tmp_path / "out")]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "7"}
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    config = build_config(base, {"target.epochs": 1, "source.enabled": True})
    here = run_trial(config, lambda report: True, workspace=workspace)
    assert json.loads(done.stdout) == {"value": here.value, "metrics": here.metrics}
    reports = [line for line in done.stderr.splitlines() if line.startswith(("source epoch", "target epoch"))]
    reports = [line for line in reports if not line.endswith(": training")]  # heartbeats, on a slow machine
    assert [line.partition(":")[0] for line in reports] == [
        "source epoch 1.00",
        "source epoch 2.00",
        "target epoch 0.00",
        "target epoch 1.00",
    ]
    model, trained = load_trained(tmp_path / "out")
    assert trained == with_pooling(config)
    assert model.config.id2label == {0: "negative", 1: "positive"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--set", "target.epoch=1"], "target.epoch: no such setting: 'epoch'; did you mean 'epochs'?"),
        (["--set", "target.frozen_layers=4"], "target.frozen_layers: 4 is more than the 3 layers"),
        (["--set", "target.epochs"], "--set target.epochs: must be NAME=VALUE"),
        (["--set", "target.epochs=["], "--set target.epochs:"),
        (["--set", "encoder=./none"], "encoder: './none': no such folder; looked in"),
        (["--set", "target.dataset={csv: none.csv}"], "none.csv: no such file"),
        (["--set", "encoder=package:none_such"], "no installed Python package of the name 'none_such'"),
    ],
)
def test_mistakes_are_printed_without_a_traceback(
    file: Path, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["trainable", str(file), *arguments])
    assert command.main() == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("sweep", "words"),
    [
        ([1], "sweep: must be"),
        ({"cpus_per_trial": "many"}, "sweep.cpus_per_trial"),
        ({"metric": "meteor"}, "metric: no such metric: 'meteor'"),
    ],
)
def test_the_sweep_block_is_checked(
    sweep: Any, words: str, file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text(encoding="utf-8")), "sweep": sweep}))
    monkeypatch.setattr(sys, "argv", ["trainable", str(file)])
    assert command.main() == 2
    assert words in capsys.readouterr().err


def test_an_encoder_beside_the_file_is_found_from_elsewhere(
    file: Path, tiny_bert: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (file.parent / "encoder").symlink_to(tiny_bert)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setattr(sys, "argv", ["trainable", str(file), "--set", "encoder=./encoder", "--set", "target.epochs=1"])
    assert command.main() == 0
    assert json.loads(capsys.readouterr().out)["value"] > 0


@pytest.mark.parametrize("text", ["- a list", "trial: [", "trial: {encoder: a, encoder: b}", None])
def test_an_unreadable_file_is_named(
    text: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "some.yaml"
    if text is not None:
        file.write_text(text, encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["trainable", str(file)])
    assert command.main() == 2
    assert "some.yaml" in capsys.readouterr().err
