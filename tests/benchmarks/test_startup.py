from collections.abc import Callable
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.timeout(900)]
pytest.importorskip("accelerate", reason="the peers need it: pip install '.[benchmarks]'")


def test_startup(run: Callable[..., dict[str, Any]]) -> None:
    runs = run("startup", "--rounds", 1, "--without", "first source stage")["runs"]
    assert [run["variant"] for run in runs] == ["all parts", "first source stage"]
    assert all(0 < run["first_report"] < run["whole"] for run in runs)
