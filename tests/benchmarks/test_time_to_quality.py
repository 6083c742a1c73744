from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.timeout(900)]
pytest.importorskip("accelerate", reason="the peers need it: pip install '.[benchmarks]'")


def test_time_to_quality(run: Callable[..., dict[str, Any]], data: Path) -> None:
    results = run("time_to_quality", "--data", data, "--rows", 24, "--trials", 2, "--seeds", 0)
    (race,) = results["runs"]
    assert 0 < race["peer_best"] <= 1
    assert (race["ours_seconds"] is None) == (race["ours_best"] < race["peer_best"])
