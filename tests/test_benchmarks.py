"""The benchmark scripts run, at a size at which their figures mean nothing; no time is checked."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from trainable.compute.device import native_bfloat16, pick_device

ROOT = Path(__file__).parent.parent
SAMPLES = ROOT / "spaces" / "samples"

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.timeout(900)]
pytest.importorskip("accelerate", reason="the peers need it: pip install '.[benchmarks]'")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    films = _rows("films.csv")
    _write(folder / "rotten_tomatoes" / "train.csv", films[:100])
    _write(folder / "rotten_tomatoes" / "validation.csv", films[100:140])
    _write(folder / "customer_reviews" / "train.csv", _rows("tweets_train.csv"))
    _write(folder / "customer_reviews" / "validation.csv", _rows("tweets_validation.csv")[:60])
    return folder


def test_same_trials(data: Path, tmp_path: Path) -> None:
    results = _run("same_trials", tmp_path, "--data", data, "--rows", 24, "--trials", 1, "--seeds", 0)
    assert {len(run["details"]["accuracies"]) for run in results["runs"]} == {1}
    assert len(results["runs"]) == 5
    assert all(0 < accuracy <= 1 for accuracy in results["summary"]["accuracy"].values())
    assert set(results["summary"]["ratios"]) == set(results["summary"]["seconds"]) - {"ours fp32", "ours bf16"}


def test_time_to_quality(data: Path, tmp_path: Path) -> None:
    results = _run("time_to_quality", tmp_path, "--data", data, "--rows", 24, "--trials", 2, "--seeds", 0)
    (race,) = results["runs"]
    assert 0 < race["peer_best"] <= 1
    assert (race["ours_seconds"] is None) == (race["ours_best"] < race["peer_best"])


def test_head_only(data: Path, tmp_path: Path) -> None:
    options = ("--data", data, "--rows", 24, "--trials", 1, "--epochs", 2, "--seeds", 0)
    results = _run("head_only", tmp_path, *options)
    assert {run["contender"] for run in results["runs"]} == {"Trainer, layers frozen", "ours fp32", "ours bf16"}
    assert (tmp_path / "results-later-epochs.json").exists()


def test_ablation(data: Path, tmp_path: Path) -> None:
    """Optimisations that must not change results do not change them."""
    runs = _run("ablation", tmp_path, "--data", data, "--rows", 24, "--trials", 2)["runs"]
    for lever in ("source shared", "frozen layers kept", "dynamic padding", "first token alone", "vocabulary cut"):
        assert runs[f"only {lever}"]["losses"] == pytest.approx(runs["all off"]["losses"], rel=1e-3)
    has_gpu = torch.cuda.is_available()
    has_bf16 = bool(native_bfloat16(pick_device()))
    assert len(runs) == 1 + 3 * (9 + has_bf16 + has_gpu)  # a GPU has the lever of recorded steps


def test_faults(tmp_path: Path, tiny_bert: str) -> None:
    """The benchmark itself checks that nothing is lost, or ends with status 1."""
    results = _run("faults", tmp_path, "--kills", 4, "--every", 4, "--trials", 4, "--encoder", tiny_bert)
    assert sum(results["killed"].values()) == 4
    assert set(results["counts"].values()) == {0}


def test_overhead(tmp_path: Path) -> None:
    results = _run("overhead", tmp_path, "--trials", 5)
    assert results["summary"]["trials"] == 5
    assert set(results["machine"]["matmul_gflops"]) == {"fp32", "bf16"}


def test_startup(tmp_path: Path) -> None:
    runs = _run("startup", tmp_path, "--rounds", 1, "--without", "first source stage")["runs"]
    assert [run["variant"] for run in runs] == ["all parts", "first source stage"]
    assert all(0 < run["first_report"] < run["whole"] for run in runs)


def _run(script: str, folder: Path, *options: object) -> dict:
    out = folder / "results.json"
    command = [sys.executable, ROOT / "benchmarks" / f"{script}.py", "--out", out, *options]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(out.read_text())


def _rows(name: str) -> list[tuple[str, str]]:
    with (SAMPLES / name).open(encoding="utf-8", newline="") as file:
        return [(row["text"], row["label"]) for row in csv.DictReader(file)]


def _write(path: Path, rows: list[tuple[str, str]]) -> None:
    path.parent.mkdir(exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
