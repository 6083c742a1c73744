from collections.abc import Callable
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_scale(run: Callable[..., dict[str, Any]]) -> None:
    (result,) = run("scale", "--trials", 12, "--slots", 3)["results"]
    assert (result["trials"], result["slots"]) == (12, 3)
    assert 0 < result["busy"] <= 1
    assert result["delivery_seconds"] < 600, "MLflow has received every event"
