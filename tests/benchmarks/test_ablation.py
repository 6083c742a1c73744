from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from trainable.compute.device import native_bfloat16, pick_device

EXACT = ("source shared", "frozen layers kept", "dynamic padding", "first token alone", "vocabulary cut")
pytest.importorskip("accelerate", reason="the peers need it: pip install '.[benchmarks]'")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_optimisations_that_must_not_change_results_do_not(run: Callable[..., dict[str, Any]], data: Path) -> None:
    runs = run("ablation", "--data", data, "--rows", 24, "--trials", 2, "--levers", *EXACT)["runs"]
    for lever in EXACT:
        assert runs[f"only {lever}"]["losses"] == pytest.approx(runs["all off"]["losses"], rel=1e-3)
    assert len(runs) == 1 + 3 * len(EXACT)


def test_all_levers_are_measured_that_the_machine_has(script: Callable[[str], ModuleType]) -> None:
    levers = script("ablation").levers_of_this_machine()
    assert set(levers) >= {*EXACT, "plain attention"}
    assert ("bf16" in levers) == bool(native_bfloat16(pick_device()))
    assert ("steps recorded" in levers) == torch.cuda.is_available()
