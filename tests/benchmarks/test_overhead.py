from collections.abc import Callable
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.timeout(900)]
pytest.importorskip("accelerate", reason="the peers need it: pip install '.[benchmarks]'")


def test_overhead(run: Callable[..., dict[str, Any]]) -> None:
    results = run("overhead", "--trials", 5)
    assert results["summary"]["trials"] == 5
    assert set(results["machine"]["matmul_gflops"]) == {"fp32", "bf16"}
