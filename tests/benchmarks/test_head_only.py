from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.timeout(900)]
pytest.importorskip("accelerate", reason="the peers need it: pip install '.[benchmarks]'")


def test_head_only(run: Callable[..., dict[str, Any]], data: Path, tmp_path: Path) -> None:
    results = run("head_only", "--data", data, "--rows", 24, "--trials", 1, "--epochs", 2, "--seeds", 0)
    assert {run["contender"] for run in results["runs"]} == {"Trainer, layers frozen", "ours fp32", "ours bf16"}
    assert (tmp_path / "results-later-epochs.json").exists()
