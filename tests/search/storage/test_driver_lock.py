"""A sweep has one driver, tested with real processes; after a failed start the sweep's name stays free."""

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from search.__main__ import app
from search.engine import start
from search.errors import PlanError, StoppedError
from search.plan.plan import Plan, build_plan
from search.storage import driver_lock
from search.storage.driver_lock import LOCK_FILE, DriverLock, driver_of, hold_driver_lock
from search.storage.store_uri import read_only_uri
from search.storage.sweep_folder import SweepFolder
from search.study.study_file import StudyFile
from trainable.errors import ConfigError
from trainable.metrics.metric import Direction

HOLDER = """
import sys, time
from pathlib import Path
from search.storage.driver_lock import DriverLock
lock = DriverLock(Path(sys.argv[1]))
print("holds", flush=True)
sys.stdin.read()
lock.release()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start another process that runs the sweep in this folder until its stdin is closed."""
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdin=pipe, stdout=pipe)
    assert process.stdout is not None
    assert process.stdout.readline() == b"holds\n"
    yield process
    process.kill()
    process.communicate()


def no_locks(*_: object) -> None:
    raise OSError("no locks available")


@pytest.mark.parametrize("file_system", ["with locks", "without locks"])
def test_the_message_to_a_second_driver_names_the_first_and_its_start(
    file_system: str, holder: subprocess.Popen[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if file_system == "without locks":
        monkeypatch.setattr("fcntl.flock", no_locks)
    words = (
        rf"is being run by process {holder.pid} of \S+ on {socket.gethostname()}, since 20..-..-.. .*kill {holder.pid}"
    )
    with pytest.raises(PlanError, match=words):
        DriverLock(tmp_path)
    driver = driver_of(tmp_path)
    assert driver is not None
    assert driver.pid == holder.pid


@pytest.mark.parametrize("file_system", ["with locks", "without locks"])
@pytest.mark.parametrize("how", ["killed", "ended"])
def test_a_dead_driver_does_not_block_the_next(
    how: str, file_system: str, holder: subprocess.Popen[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder.send_signal(signal.SIGKILL) if how == "killed" else None
    holder.communicate()
    if file_system == "without locks":
        monkeypatch.setattr("fcntl.flock", no_locks)
    assert driver_of(tmp_path) is None
    with hold_driver_lock(tmp_path):
        driver = driver_of(tmp_path)
        assert driver is not None
        assert driver.pid == os.getpid()
    assert driver_of(tmp_path) is None


def test_another_process_with_the_same_pid_is_not_the_driver(
    holder: subprocess.Popen[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fcntl.flock", no_locks)
    file = tmp_path / LOCK_FILE
    file.write_text(json.dumps(json.loads(file.read_text()) | {"started": 1.0}))
    DriverLock(tmp_path).release()


def test_a_driver_on_another_machine_is_alive_while_it_sends_heartbeats(
    holder: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    """The system's lock is free here, as with a file system whose locks are valid on one machine only."""
    holder.kill()
    holder.communicate()
    file = tmp_path / LOCK_FILE
    away = json.loads(file.read_text()) | {"machine": "another", "host": "away"}
    file.write_text(json.dumps(away))
    with pytest.raises(PlanError, match=r"on away, since .*If that machine has died, try again in 60 s"):
        DriverLock(tmp_path)
    assert driver_of(tmp_path)
    before = file.stat().st_mtime - 2 * driver_lock.SILENT_SECONDS
    os.utime(file, (before, before))
    assert driver_of(tmp_path) is None
    DriverLock(tmp_path).release()


def test_heartbeats_update_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver_lock, "HEARTBEAT_SECONDS", 0.01)
    with hold_driver_lock(tmp_path):
        os.utime(tmp_path / LOCK_FILE, (1.0, 1.0))
        while (tmp_path / LOCK_FILE).stat().st_mtime == 1.0:
            threading.Event().wait(0.01)


def test_a_copy_has_no_driver(holder: subprocess.Popen[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(tmp_path, tmp_path / "copy")
    monkeypatch.setattr("fcntl.flock", no_locks)
    assert driver_of(tmp_path / "copy") is None
    DriverLock(tmp_path / "copy").release()


@pytest.mark.parametrize("command", ["resume", "extend", "run"])
def test_while_a_sweep_runs_only_show_works(
    command: str, swept: SweepFolder, ray_when_joined: None, tmp_path: Path
) -> None:
    def call(*arguments: str) -> Result:
        return CliRunner().invoke(app, list(arguments))

    shutil.copytree(swept.storage, tmp_path / "runs")
    folder = SweepFolder(tmp_path / "runs", swept.name)
    options = ["--storage", str(folder.storage)]
    with hold_driver_lock(folder.path):
        if command == "run":
            file = tmp_path / "tiny.yaml"
            file.write_text(json.dumps({k: v for k, v in json.loads(folder.plan.read_text()).items() if k in BLOCKS}))
            result = call("run", str(file), *options)
        else:
            result = call(command, folder.name, *options, *(["--trials", "1"] if command == "extend" else []))
        assert result.exit_code == 2
        assert f"is being run by process {os.getpid()}" in result.stderr
        assert call("show", folder.name, *options).exit_code == 0
        folder.outcome.unlink()  # as while the sweep runs
        assert f"it is being run by process {os.getpid()}" in call("show", folder.name, *options, "--json").stdout


BLOCKS = ("sweep", "trial", "space")


@pytest.fixture
def plan(blocks: dict[str, Any]) -> Plan:
    return build_plan(blocks, (Path("/"),), "test")


FAILURES = [ConfigError("no node"), RuntimeError("Ray has died"), KeyboardInterrupt(), OSError("no locks")]


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
def test_after_a_failed_start_the_name_is_free(
    failure: BaseException, plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Plan, folder: SweepFolder, *__: object) -> None:
        StudyFile(folder.study, folder.name, Direction.MAX)
        (folder.path / "tune-1").mkdir()
        raise failure

    monkeypatch.setattr(start, "_run", fail)
    for _ in range(2):
        with pytest.raises(type(failure)):
            start.start_sweep(plan, tmp_path / "runs")
    assert not SweepFolder(tmp_path / "runs", "tiny").path.exists()


def test_after_a_killed_or_stopped_start_the_name_is_free(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(_: Plan, folder: SweepFolder, *__: object) -> None:
        StudyFile(folder.study, folder.name, Direction.MAX)
        raise StoppedError("the disk is full; make room, then resume")

    monkeypatch.setattr(start, "_run", stop)
    folder = SweepFolder(tmp_path / "runs", "tiny")
    for _ in range(2):
        with pytest.raises(StoppedError):
            start.start_sweep(plan, folder.storage)
        assert folder.plan.exists()  # the sweep can be resumed
    with closing(sqlite3.connect(folder.study)) as study, study:
        study.execute("insert into trials (trial_id, number, study_id, state) values (1, 0, 1, 'RUNNING')")
    with pytest.raises(PlanError, match="holds the same experiment"):
        start.start_sweep(plan, folder.storage)


def test_a_folder_with_a_file_of_the_user_is_kept(plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "_run", lambda *_: (_ for _ in ()).throw(StoppedError("full")))
    folder = SweepFolder(tmp_path / "runs", "tiny")
    with pytest.raises(StoppedError):
        start.start_sweep(plan, folder.storage)
    (folder.path / "notes.md").write_text("mine")
    with pytest.raises(PlanError, match="holds the same experiment"):
        start.start_sweep(plan, folder.storage)
    assert (folder.path / "notes.md").exists()


def test_one_of_two_simultaneous_starts_is_refused(plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both find the name free before one of them creates the folder."""
    storage = tmp_path / "runs"
    started = []

    def check_data(*_: object) -> dict[str, Any]:
        if not started:
            monkeypatch.setattr(start, "_run", lambda plan, folder, *_: start.start_sweep(plan, storage))
            started.append(True)
        return {}

    monkeypatch.setattr("search.plan.data.check_data", check_data)
    with pytest.raises(PlanError, match=f"is being run by process {os.getpid()}"):
        start.start_sweep(plan, storage)


def test_read_only_uri_does_not_change_a_study(tmp_path: Path) -> None:
    folder = tmp_path / "a? 50%25 #"
    folder.mkdir()
    StudyFile(folder / "study.db", "tiny", Direction.MAX)
    with closing(sqlite3.connect(read_only_uri(folder / "study.db"), uri=True)) as study:
        assert study.execute("select count(*) from trials").fetchone() == (0,)
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            study.execute("delete from studies")
