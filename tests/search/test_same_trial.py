"""`python -m trainable FILE` is the sweep's trial: the same settings and seed, the same number."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from yaml_text import dump_yaml

from search.engine.start import start_sweep
from search.plan.plan import load_plan


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.parametrize(("metric", "scheduler"), [("loss", "asha"), ("accuracy", "none")])
def test_a_trial_alone_gives_what_the_sweep_gave(
    metric: str, scheduler: str, blocks: dict[str, Any], tmp_path: Path
) -> None:
    """The file says what YAML 1.1 would read otherwise, and the sweep's metric selects another evaluation."""
    point = {"source.enabled": True, "target.learning_rate": 1e-2, "target.epochs": 3}
    blocks["sweep"] |= {
        "metric": metric,
        "trials": 1,
        "confirm_seeds": 0,
        "scheduler": scheduler,
        "start_with": [point],
    }
    blocks["trial"]["seed"] = 3
    file = tmp_path / "mine.yaml"
    file.write_text(dump_yaml(blocks).replace("0.001", "1e-3"), encoding="utf-8")
    (trial,) = start_sweep(load_plan(file), tmp_path / "runs").trials
    given = [word for name, value in point.items() for word in ("--set", f"{name}={json.dumps(value)}")]
    command = [sys.executable, "-m", "trainable", str(file), *given]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2], check=True)
    assert json.loads(done.stdout)["value"] == trial.value
