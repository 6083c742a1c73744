"""What the tests of trials share: settings that a tiny encoder trains in well under a second."""

from pathlib import Path
from typing import Any

import pytest
import torch

from trainable.workspace import Workspace


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)  # more only stand in each other's way on models of this size


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "cache")


@pytest.fixture
def base(tiny_bert: str, films_csv: Path, tweets_csv: Path) -> dict[str, Any]:
    """Films, then tweets; the source is off until a test says `source.enabled`."""
    common = {"learning_rate": 1e-3, "padding_length": 24, "epochs": 2}
    return {
        "encoder": tiny_bert,
        "precision": "fp32",
        "source": {"enabled": False, "dataset": {"csv": str(films_csv)}, "batch_size": 32, **common},
        "target": {"dataset": {"csv": str(tweets_csv)}, "batch_size": 8, **common},
    }
