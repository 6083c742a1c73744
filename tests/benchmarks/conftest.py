"""Runs the benchmark scripts at a size at which their figures mean nothing; no time is checked.

Each script has its own test file, so that they are spread over the processes of a test run.
"""

import csv
import importlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent.parent
SAMPLES = ROOT / "spaces" / "samples"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Return a function that imports a module of the benchmarks."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Return a function that runs a script with options and returns its results."""

    def run_script(name: str, *options: object) -> dict[str, Any]:
        out = tmp_path / "results.json"
        command = [sys.executable, ROOT / "benchmarks" / f"{name}.py", "--out", out, *options]
        done = subprocess.run([*map(str, command)], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        results: dict[str, Any] = json.loads(out.read_text())
        return results

    return run_script


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the layout that the benchmarks read, with rows of the samples."""
    folder = tmp_path_factory.mktemp("data")
    films = _rows("films.csv")
    _write(folder / "rotten_tomatoes" / "train.csv", films[:100])
    _write(folder / "rotten_tomatoes" / "validation.csv", films[100:140])
    _write(folder / "customer_reviews" / "train.csv", _rows("tweets_train.csv"))
    _write(folder / "customer_reviews" / "validation.csv", _rows("tweets_validation.csv")[:60])
    return folder


def _rows(name: str) -> list[tuple[str, str]]:
    with (SAMPLES / name).open(encoding="utf-8", newline="") as file:
        return [(row["text"], row["label"]) for row in csv.DictReader(file)]


def _write(path: Path, rows: list[tuple[str, str]]) -> None:
    path.parent.mkdir(exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
