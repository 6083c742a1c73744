"""If the hub does not answer, a hub name is loaded from the cache or refused at once with one message."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

CODE = """
import sys
from trainable.tasks.classification import CLASSIFICATION
from trainable.errors import ConfigError
from trainable.model.encoder import new_model
for name in sys.argv[1:]:
    try:
        new_model(name, CLASSIFICATION.head(("a", "b")), 0)
        print("loaded")
    except ConfigError as error:
        print(error)
"""


@pytest.fixture(params=["no answer", "offline"])
def without_hub(request: pytest.FixtureRequest, tmp_path: Path, free_port: Callable[[], int]) -> dict[str, str]:
    """The environment of a process that finds no hub."""
    environment = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
    how = {"HF_HUB_OFFLINE": "1"} if request.param == "offline" else {"HF_ENDPOINT": f"http://127.0.0.1:{free_port()}"}
    return environment | how | {"HF_HUB_CACHE": str(tmp_path / "cache")}


def test_only_a_name_in_the_cache_is_loaded(without_hub: dict[str, str], tmp_path: Path, tiny_bert: str) -> None:
    entry = tmp_path / "cache" / "models--owner--cached"
    shutil.copytree(tiny_bert, entry / "snapshots" / "0123")
    (entry / "refs").mkdir()
    (entry / "refs" / "main").write_text("0123")
    command = [sys.executable, "-c", CODE, "owner/name", "owner/cached"]
    done = subprocess.run(command, env=without_hub, capture_output=True, text=True)
    refused, loaded = done.stdout.splitlines()
    assert "'owner/name': there is no such folder, so it is a name on the Hugging Face hub; " in refused
    assert f"its cache {tmp_path / 'cache'} does not have it; name a folder" in refused
    assert loaded == "loaded"
    assert "Retrying" not in done.stderr
