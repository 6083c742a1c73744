"""Draws, ranks and regrets of `benchmarks/instead.py`, and its small tier as a whole."""

import importlib
import json
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent.parent
pytest.importorskip("sklearn", reason="the scores need it: pip install '.[benchmarks]'")


@pytest.fixture
def pairs(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("pairs")


@pytest.fixture
def standing(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("standing")


def test_a_draw_takes_what_the_pair_says(pairs: ModuleType) -> None:
    pool = [{"text": str(i), "label": "rare" if i % 10 == 0 else "common"} for i in range(100)]

    def count(**rows: int) -> Counter:
        drawn = pairs.draw_rows(pool, pairs.Pair("x_", "accuracy", **rows), random.Random(0))
        assert len({row["text"] for row in drawn}) == len(drawn)
        return Counter(row["label"] for row in drawn)

    assert count(per_class=5) == {"rare": 5, "common": 5}
    assert count().total() == 100
    some = count(rows=8)
    assert some.total() == 8 and some["rare"] >= 2


def test_test_rows_are_given_without_labels_and_not_in_training(pairs: ModuleType, tmp_path: Path) -> None:
    pair = pairs.Pair("tweets_", "macro_f1", rows=16)
    truth, rows = pairs.write_draw(pair, ROOT / "spaces" / "samples", 0, tmp_path)
    test, train = (pairs.read_rows(tmp_path / f"{name}.csv") for name in ("test", "train"))
    assert len(test) == len(truth) and rows == len(train) == 16
    assert set(test[0]) == {"text"}
    assert not {row["text"] for row in test} & {row["text"] for row in train}


def test_a_score_counts_from_when_its_model_was_ready(standing: ModuleType) -> None:
    runs = importlib.import_module("runs")

    def run(name: str, minutes: float, answers: list[tuple[float, float]], ended: bool) -> object:
        found = [runs.Answer(seconds, score) for seconds, score in answers]
        return runs.Run("pair", name, 0, minutes, name.startswith("told"), 10, found, ended, "", {})

    made = [
        run("quick", 10, [(5, 0.6)], True),
        run("epochs", 10, [(50, 0.5), (170, 0.8)], True),
        run("told", 1, [(80, 0.7)], False),
        run("told", 3, [(300, 0.9)], False),  # too late: over 1.5 times its budget
        run("told early", 1, [(30, 0.4)], True),
        run("told much", 10, [(20, 0.8)], True),
        run("late", 10, [(70, 0.9)], True),
    ]
    assert standing.cells(made, 1) == {
        ("pair", 0): {"quick": 0.6, "epochs": 0.5, "told": 0.7, "told early": 0.4, "late": 0}
    }
    assert standing.cells(made, 3) == {
        ("pair", 0): {"quick": 0.6, "epochs": 0.8, "told": 0.0, "told early": 0.4, "late": 0.9}
    }


def test_rank_and_regret(standing: ModuleType) -> None:
    cell = {"a": 0.5, "b": 0.9, "c": 0.9}
    assert [standing.rank_of(cell, name) for name in cell] == [3, 1.5, 1.5]
    assert standing.regret_of(cell, "a") == pytest.approx(0.4)
    mean, low, high = standing.bootstrap({("p", 0): cell, ("p", 1): {"a": 0.7}, ("q", 0): cell}, lambda c: c["a"])
    assert mean == pytest.approx(0.55)
    assert low <= mean <= high


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(900)
def test_small_tier(tmp_path: Path) -> None:
    results = tmp_path / "small.jsonl"
    script = ROOT / "benchmarks" / "instead.py"
    command = [sys.executable, script, "--small", "--draws", 0, "--minutes", 2, "--results", results]
    command += ["--picture", tmp_path / "picture.png"]
    for _ in range(2):  # the second time, nothing is left to run
        done = subprocess.run([*map(str, command)], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        runs = [json.loads(line) for line in results.read_text().splitlines()]
        assert [run["contestant"] for run in runs] == ["majority", "tfidf", "features", "ours"]
        assert [run["error"] for run in runs] == [""] * 4
        assert all(0 < run["answers"][-1]["score"] <= 1 for run in runs)
        assert "mean rank" in done.stdout
    assert (tmp_path / "picture.png").stat().st_size > 0
