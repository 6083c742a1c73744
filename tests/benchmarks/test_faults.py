from collections.abc import Callable
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.timeout(900)]
pytest.importorskip("accelerate", reason="the peers need it: pip install '.[benchmarks]'")


def test_faults(run: Callable[..., dict[str, Any]], tiny_bert: str) -> None:
    """The benchmark itself checks that nothing is lost, or ends with status 1."""
    results = run("faults", "--kills", 2, "--every", 4, "--trials", 3, "--encoder", tiny_bert)
    assert sum(results["killed"].values()) == 2
    assert set(results["counts"].values()) == {0}
