"""Settings and clusters for trials under Ray."""

import copy
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from search.cluster.local_ray import LocalRay
from search.cluster.ray_internals import reload_token
from trainable.progress import Report
from trainable.settings.config import build_config
from trainable.trial import run_trial
from trainable.workers.messages import Resources
from trainable.workspace import Workspace

ONE = Resources(count=1, cpus=1, gpus=0, threads=1)
TWO = replace(ONE, count=2)
WILD = {"optimizer": "sgd", "learning_rate": 10, "weight_decay": 10, "batch_size": 2, "gradient_clip": None}


def with_target(base: dict[str, Any], source: bool = False, **target: Any) -> dict[str, Any]:
    """Return settings with changes of the target stage, and with the source stage or without."""
    settings = copy.deepcopy(base) | {"micro_batches": 2}
    settings["source"]["enabled"] = source
    settings["target"] |= {"dropout": 0.1, **target}
    return settings


def run_alone(settings: dict[str, Any], cache: Path) -> list[Report]:
    """Return the reports of a trial that runs without Ray."""
    reports: list[Report] = []
    run_trial(build_config(settings), lambda r: reports.append(r) is None, workspace=Workspace(cache))
    return reports


@pytest.fixture
def broken_encoder(tiny_bert: str, tmp_path: Path) -> str:
    """An encoder whose configuration fails only in the forward pass of a batch."""
    folder = shutil.copytree(tiny_bert, tmp_path / "broken")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"chunk_size_feed_forward": 4}))
    return str(folder)


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """A local cluster with two CPUs, so that a trial waits for the one before to release them, and a pretended GPU."""
    variables = {"OMP_NUM_THREADS": "1", "RAY_TRAIN_V2_ENABLED": "1", "CUDA_VISIBLE_DEVICES": ""}
    arguments = {"num_cpus": 2, "num_gpus": 1, "runtime_env": {"env_vars": variables}}
    local = LocalRay(arguments, {}, dashboard=True)
    local.wait(print)
    yield
    local.end()
    reload_token()
