"""If the hub does not answer, a hub name is loaded from the cache or refused at once with one message."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

CODE = (
    "import sys; from trainable.model.encoder import new_model; new_model(sys.argv[1], ('a', 'b'), 0); print('loaded')"
)


@pytest.fixture(params=["no answer", "offline"])
def without_hub(request: pytest.FixtureRequest, tmp_path: Path, free_port: Callable[[], int]) -> dict[str, str]:
    """The environment of a process that finds no hub."""
    environment = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
    how = {"HF_HUB_OFFLINE": "1"} if request.param == "offline" else {"HF_ENDPOINT": f"http://127.0.0.1:{free_port()}"}
    return environment | how | {"HF_HUB_CACHE": str(tmp_path / "cache")}


def load(encoder: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", CODE, encoder], env=environment, capture_output=True, text=True)


def test_a_name_that_is_not_in_the_cache_is_one_sentence(without_hub: dict[str, str], tmp_path: Path) -> None:
    done = load("owner/name", without_hub)
    last = done.stderr.splitlines()[-1]
    assert "'owner/name': there is no such folder, so it is a name on the Hugging Face hub; " in last
    assert f"its cache {tmp_path / 'cache'} does not have it; name a folder" in last
    assert "Retrying" not in done.stderr


def test_one_that_is_in_the_cache_is_loaded(without_hub: dict[str, str], tmp_path: Path, tiny_bert: str) -> None:
    entry = tmp_path / "cache" / "models--owner--name"
    shutil.copytree(tiny_bert, entry / "snapshots" / "0123")
    (entry / "refs").mkdir()
    (entry / "refs" / "main").write_text("0123")
    done = load("owner/name", without_hub)
    assert done.stdout == "loaded\n", done.stderr
    assert "Retrying" not in done.stderr
