from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.timeout(900)]
pytest.importorskip("accelerate", reason="the peers need it: pip install '.[benchmarks]'")


def test_same_trials(run: Callable[..., dict[str, Any]], data: Path) -> None:
    results = run("same_trials", "--data", data, "--rows", 24, "--trials", 1, "--seeds", 0)
    assert {len(run["details"]["accuracies"]) for run in results["runs"]} == {1}
    assert len(results["runs"]) == 5
    assert all(0 < accuracy <= 1 for accuracy in results["summary"]["accuracy"].values())
    assert set(results["summary"]["ratios"]) == set(results["summary"]["seconds"]) - {"ours fp32", "ours bf16"}
