"""What the tests of trials share: settings that a tiny encoder trains in well under a second."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from encoder_kinds import KINDS
from transformers import AutoModel, AutoTokenizer

from trainable.loop import training
from trainable.workspace import Workspace


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)  # more only stand in each other's way on models of this size


@pytest.fixture(autouse=True)
def _no_signs_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stage says something where it evaluates, and only there, however slow the machine is."""
    monkeypatch.setattr(training, "HEARTBEAT_SECONDS", math.inf)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "cache")


@pytest.fixture
def base(tiny_bert: str, films_csv: Path, tweets_csv: Path) -> dict[str, Any]:
    """Films, then tweets; the source is off until a test says `source.enabled`, and a new head is random."""
    common = {"learning_rate": 1e-3, "padding_length": 24, "epochs": 2}
    return {
        "encoder": tiny_bert,
        "precision": "fp32",
        "source": {"enabled": False, "dataset": {"csv": str(films_csv)}, "batch_size": 32, **common},
        "target": {"dataset": {"csv": str(tweets_csv)}, "batch_size": 8, "head": "auto", **common},
    }


@pytest.fixture(scope="session")
def encoders(tiny_bert: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A tiny random encoder of each kind, saved with the same tokenizer."""
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert)
    folders = {}
    for kind, config in KINDS.items():
        torch.manual_seed(0)
        folders[kind] = str(tmp_path_factory.mktemp(kind))
        AutoModel.from_config(config(len(tokenizer))).save_pretrained(folders[kind])
        tokenizer.save_pretrained(folders[kind])
    return folders


@pytest.fixture(params=list(KINDS))
def kind(request: pytest.FixtureRequest) -> str:
    """Each kind of encoder in turn."""
    name: str = request.param
    return name


@pytest.fixture
def encoder(kind: str, encoders: dict[str, str]) -> str:
    """A tiny encoder of that kind."""
    return encoders[kind]


@pytest.fixture
def batch(tiny_bert: str) -> dict[str, torch.Tensor]:
    """Two texts, the second one padded."""
    encoded = AutoTokenizer.from_pretrained(tiny_bert)(["a film that is good", "no"], padding=True, return_tensors="pt")
    return {name: encoded[name] for name in ("input_ids", "attention_mask")}
