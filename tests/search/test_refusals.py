"""Mistakes that can be found without torch or Ray are reported before they are imported."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from yaml_text import dump_yaml

from search.storage.sweep_folder import SweepFolder

HEAVY = {"torch", "ray", "transformers", "mlflow", "optuna", "datasets", "scipy", "pandas", "sklearn"}
WATCHED = """
import sys
from search.__main__ import main
sys.argv[0] = "transfersweep"
try:
    main()
finally:
    print("imported:", *{name.partition(".")[0] for name in sys.modules}, file=sys.stderr)
"""
Refused = Callable[..., str]


@pytest.fixture
def refused(tmp_path: Path) -> Refused:
    """Runs a command that is refused before any large package is imported, and returns its message."""

    def run(*arguments: object) -> str:
        command = [sys.executable, "-c", WATCHED, *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
        message, _, imported = done.stderr.rpartition("imported:")
        assert done.returncode == 2, done.stderr
        assert done.stdout == ""
        assert HEAVY & set(imported.split()) == set()
        assert "Traceback" not in message
        return message

    return run


@pytest.fixture
def experiment(blocks: dict[str, Any], tmp_path: Path) -> Path:
    file = tmp_path / "mine.yaml"
    file.write_text(dump_yaml(blocks), encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "nosuch.yaml"], "nosuch.yaml: no such file"),
        (["doctor", "nosuch.yaml"], "nosuch.yaml: no such file"),
        (["serve", "."], ".: is not a folder that `transfersweep export` wrote"),
        (["run", "mine.yaml", "--set", "sweep.trails=3"], "sweep.trails: no such setting: 'trails'; did you mean"),
        (["run", "mine.yaml", "--set", "trial.target.epocs=3"], "trial.target.epocs: no such setting: 'epocs'"),
        (["run", "mine.yaml", "--set", "trial.target.frozen_layers=9"], "9 is more than the 3 layers"),
        (["run", "mine.yaml", "--set", "sweep.name=Müller Versuch"], "such as Muller-Versuch"),
        (["run", "mine.yaml", "--set", "trial.encoder=./nosuch"], "'./nosuch': no such folder; looked in"),
        (["run", "mine.yaml", "--set", "sweep.start_from=old"], "sweep.start_from: old: no such sweep"),
        (["show", "nosuch"], "nosuch: no such sweep"),
        (["resume", "nosuch"], "nosuch: no such sweep"),
        (["extend", "nosuch", "--trials", "3"], "nosuch: no such sweep"),
        (["export", "nosuch", "--to", "model"], "nosuch: no such sweep"),
        (["predict", "nosuch", "rows.csv"], "nosuch: is not a folder that `transfersweep export` wrote"),
        (["inspect", "nosuch.csv"], "nosuch.csv: no such file"),
        (["inspect", "mine.csv", "--encoder", "./nosuch"], "'./nosuch': no such folder"),
        (["ui"], "mlflow.db: no such file"),
    ],
    ids=str,
)
def test_a_wrong_name_is_reported_at_once(
    arguments: list[str], words: str, refused: Refused, experiment: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine.csv").write_text("text,label\n")
    assert words in refused(*arguments)


def test_a_taken_name_is_reported_at_once(
    refused: Refused, experiment: Path, swept: SweepFolder, blocks: dict[str, Any]
) -> None:
    assert "holds another experiment" in refused("run", experiment, "--storage", swept.storage)


def test_an_impossible_export_is_reported_at_once(refused: Refused, swept: SweepFolder, tmp_path: Path) -> None:
    given = ["export", "tiny", "--storage", swept.storage, "--to"]
    assert "--trial 99: tiny has no such trial" in refused(*given, "new", "--trial", 99)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    assert "--to full: the folder is not empty" in refused(*given, "full")


def test_a_missing_file_to_predict_is_reported_at_once(refused: Refused, swept: SweepFolder, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    facts = '{"text_columns": ["text"], "label_names": ["a", "b"], "settings": {"target.padding_length": 16}}'
    (tmp_path / "model" / "trial.json").write_text(facts)
    assert "nosuch.csv: no such file" in refused("predict", "model", "nosuch.csv")
