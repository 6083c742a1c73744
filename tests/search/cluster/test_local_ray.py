"""Starting Ray in difficult cases: on a busy machine, with unusable folders, and with Ctrl-C during the start."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import ray
from ray._private import node, services

from search.cluster import connection, local_ray
from search.plan.settings import SweepSettings
from trainable.errors import ConfigError

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(200)]

SETTINGS = SweepSettings(name="tiny")
FALSE = "/bin/false"

STARTS = """
from ray._private import services
services.RAYLET_EXECUTABLE = "/bin/false"
from search.cluster import connection
from search.cluster import local_ray
from search.plan.settings import SweepSettings
local_ray.NOTICE_SECONDS = 1
connection.join(None, SweepSettings(name="tiny"), lambda sentence: print(sentence, flush=True))
"""


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Ray give up a start after 1 s, not 30 s."""
    monkeypatch.setattr(
        node, "time", SimpleNamespace(monotonic=lambda: 30 * time.monotonic(), time=time.time, sleep=time.sleep)
    )


def test_a_start_that_ray_gives_up_is_tried_again(hasty: None, monkeypatch: pytest.MonkeyPatch) -> None:
    executable, tries = services.RAYLET_EXECUTABLE, []

    def init(self: local_ray.LocalRay, folder: Path) -> None:
        tries.append(folder)
        services.RAYLET_EXECUTABLE = FALSE if len(tries) == 1 else executable
        node.time.monotonic = time.monotonic if len(tries) > 1 else node.time.monotonic
        started(self, folder)

    started = local_ray.LocalRay._init
    monkeypatch.setattr(local_ray.LocalRay, "_init", init)
    try:
        connection.join(None, SETTINGS)
        assert ray.get(ray.remote(lambda: 1).remote()) == 1
    finally:
        services.RAYLET_EXECUTABLE = executable
        connection.leave()
    assert len(tries) == 2
    assert not any(folder.parent.exists() for folder in tries)


def test_a_start_that_takes_too_long_is_a_readable_error() -> None:
    late = STARTS.replace("NOTICE_SECONDS = 1", "NOTICE_SECONDS, local_ray.START_SECONDS = 1, 3")
    done = subprocess.run([sys.executable, "-c", late], capture_output=True, text=True, check=False)
    assert "press Ctrl-C to cancel" in done.stdout
    reason = r"ConfigError: Ray could not be started in 3 s \(.*; load .* on \d+ cores\); .* try again"
    assert re.search(reason, done.stderr), done.stderr


def test_ctrl_c_ends_a_start_at_once() -> None:
    with subprocess.Popen([sys.executable, "-c", STARTS], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert b"has not started" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=20)  # Ray itself would continue for half a minute
    assert stderr.strip().endswith(b"KeyboardInterrupt")


@pytest.mark.parametrize("name", ["l" * 90, "a blank"])
def test_a_folder_that_cannot_hold_sockets_is_skipped(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / name).mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / name))
    connection.join(None, SETTINGS)
    try:
        used = ray.get(ray.remote(lambda: os.environ["TMPDIR"]).remote())
    finally:
        connection.leave()
    assert used != os.environ["TMPDIR"] == str(tmp_path / name)


def test_no_usable_folder_is_a_readable_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "missing"))
    monkeypatch.setattr(local_ray, "FALLBACK_FOLDERS", ())
    with pytest.raises(ConfigError, match=r"no folder is usable for Ray's socket files .*; set TMPDIR to a short path"):
        connection.join(None, SETTINGS)
    connection.leave()
