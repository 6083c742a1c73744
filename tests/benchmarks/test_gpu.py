import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent.parent / "benchmarks" / "gpu.sh"
PARTS = {"same-trials", "steps", "evaluation-cost", "ablation"}


def run_script(*options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", SCRIPT, "--python", sys.executable, *map(str, options)], capture_output=True, text=True
    )


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(900)
def test_a_dry_run_passes_and_each_part_writes_its_results(data: Path, tmp_path: Path) -> None:
    pytest.importorskip("accelerate", reason="the peers need it: pip install '.[benchmarks]'")
    out = tmp_path / "out"
    done = run_script("--data", data, "--out", out, "--dry-run")
    assert done.returncode == 0, done.stdout + (out / "log.txt").read_text()
    assert {file.stem for file in out.glob("*.json")} == PARTS
    steps = json.loads((out / "steps.json").read_text())["steps"]
    assert steps[0]["of_peak"] > 0
    assert steps[0]["memory"].keys() >= {"rss", "pss"}
    assert json.loads((out / "evaluation-cost.json").read_text())["whole"]
    assert "time      about" in (out / "log.txt").read_text()  # the forecast


def test_a_folder_without_the_tables_is_refused_at_once(tmp_path: Path) -> None:
    done = run_script("--data", tmp_path, "--out", tmp_path / "out", "--dry-run")
    assert done.returncode == 2
    assert "has no rotten_tomatoes/train.csv" in done.stdout
