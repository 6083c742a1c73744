"""A real MLflow server, or PostgreSQL itself, that is killed, stays away, and comes back on the same store."""

import getpass
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from sqlalchemy.exc import SQLAlchemyError
from yaml_text import dump_yaml

from search.engine.start import resume_sweep, start_sweep
from search.plan.plan import build_plan
from search.record.records import State
from search.show.current import current_outcome
from search.storage.outbox import count_waiting
from search.storage.store_uri import check_reachable
from search.storage.sweep_folder import SweepFolder
from search.tracking.tracker import Tracker
from trainable.errors import ConfigError

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


class Server:
    """`mlflow server` on a free port; what it keeps outlives it."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port
        self.process: subprocess.Popen[bytes] | None = None
        self.address = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        store = ["--backend-store-uri", f"sqlite:///{self.folder}/mlflow.db"]
        artifacts = ["--artifacts-destination", str(self.folder / "artifacts")]
        command = [sys.executable, "-m", "mlflow", "server", *store, *artifacts]
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"],
                stdout=log,
                stderr=log,
                env=os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},  # nine processes that nobody needs
                start_new_session=True,
            )
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            assert self.process.poll() is None, (self.folder / "server.log").read_text()
            try:
                urllib.request.urlopen(f"{self.address}/health", timeout=5).close()
            except (urllib.error.URLError, OSError):
                time.sleep(0.2)
            else:
                return
        raise AssertionError((self.folder / "server.log").read_text())

    def kill(self) -> None:
        if self.process:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


class Database:
    """PostgreSQL on a free port, as Debian installs it; it recovers what was written before a kill."""

    def __init__(self, port: int) -> None:
        programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
        if not programs:
            pytest.skip("PostgreSQL is not installed")
        self.programs = programs[-1]
        self.folder = Path(tempfile.mkdtemp(prefix="postgres-"))  # not in pytest's, which root alone may enter
        self.user = "postgres" if os.geteuid() == 0 else getpass.getuser()  # it does not run as root
        shutil.chown(self.folder, self.user)
        self.run("initdb", "--auth=trust", "--username=me").wait()
        self.process: subprocess.Popen[bytes] | None = None
        self.port = port
        self.address = f"postgresql://me@127.0.0.1:{self.port}/postgres"

    def run(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        with self.folder.with_suffix(".log").open("ab") as log:
            return subprocess.Popen(
                [self.programs / program, "-D", self.folder, *arguments],
                user=self.user if os.geteuid() == 0 else None,
                cwd=self.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def start(self) -> None:
        (self.folder / "postmaster.pid").unlink(missing_ok=True)  # a killed one leaves it
        self.process = self.run("postgres", "-p", str(self.port), "-k", "", "-h", "127.0.0.1")
        for _ in range(300):
            try:
                check_reachable(self.address)
            except SQLAlchemyError:
                time.sleep(0.2)
            else:
                return
        raise AssertionError(self.folder.with_suffix(".log").read_text())

    def kill(self) -> None:
        """All its processes at once, which each are the leader of a session."""
        if self.process:
            for process in [psutil.Process(self.process.pid), *psutil.Process(self.process.pid).children()]:
                process.kill()
            self.process.wait()
            self.process = None

    def remove(self) -> None:
        self.kill()
        shutil.rmtree(self.folder)
        self.folder.with_suffix(".log").unlink()


@pytest.fixture
def database(free_port: Callable[[], int]) -> Iterator[Database]:
    database = Database(free_port())
    try:
        database.start()
        yield database
    finally:
        database.remove()


@pytest.fixture
def server(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[Server]:
    server = Server(tmp_path, free_port())
    try:
        server.start()
        yield server
    finally:
        server.kill()


def trials(server: Server | Database) -> dict[int, Run]:
    client = MlflowClient(server.address)
    found = client.search_runs(["1"], "tags.`transfersweep.kind` = 'trial'")
    numbers = [int(run.data.tags["transfersweep.trial"]) for run in found]
    assert len(numbers) == len(set(numbers))
    return dict(zip(numbers, found, strict=True))


def report(tracker: Tracker, numbers: range, steps: range) -> None:
    for step in steps:
        for number in numbers:
            tracker.log(number, {"loss": number + 1 / (step + 1)}, step)
            time.sleep(0.002)  # so that the kill finds some of it delivered, and some under way


@pytest.mark.parametrize("kind", ["server", "database"])
def test_what_is_killed_twice_while_events_come_has_each_of_them_once(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where MLflow puts the artifacts of a database
    server: Server | Database = request.getfixturevalue(kind)
    with Tracker(server.address, tmp_path / "outbox", "sms", "one") as tracker:
        tracker.start_sweep({"sweep.trials": 4}, [])
        for numbers in (range(2), range(2, 4)):
            for number in numbers:
                tracker.start_trial(number, {"target.epochs": number}, {})
            report(tracker, numbers, range(60))
            server.kill()
            report(tracker, numbers, range(60, 120))
            for number in numbers:
                tracker.end_trial(number, State.FINISHED)
            server.start()
        tracker.end_sweep(State.FINISHED, {"trials": 4}, {})
        tracker.log_text(None, "{}", "outcome.json")
        assert tracker.wait()
        assert tracker.refused == ()

    client, found = MlflowClient(server.address), trials(server)
    assert {number: run.info.status for number, run in found.items()} == dict.fromkeys(range(4), "FINISHED")
    for number, run in found.items():
        history = client.get_metric_history(run.info.run_id, "loss")
        assert [(m.step, m.value) for m in history] == [(step, number + 1 / (step + 1)) for step in range(120)]
        assert [m.timestamp for m in history] == sorted(m.timestamp for m in history)
        assert run.data.params == {"target.epochs": str(number)}
    [parent] = client.search_runs(["1"], "tags.`transfersweep.kind` = 'sweep'")
    assert (parent.info.status, parent.data.metrics) == ("FINISHED", {"trials": 4.0})
    assert [file.path for file in client.list_artifacts(parent.info.run_id)] == ["outcome.json"]


def test_what_a_server_missed_is_delivered_by_the_next_tracker_and_no_password_is_told(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    uri = server.address.replace("//", "//bob:hunter2@")
    with Tracker(uri, tmp_path / "outbox", "sms", "one") as tracker:
        run_id = tracker.start_sweep({}, [])
        server.kill()
        tracker.start_trial(0, {}, {})
        tracker.log(0, {"loss": 0.5}, step=1)
        tracker.end_trial(0, State.FAILED, "the loss is nan")
        tracker.end_sweep(State.FINISHED, {}, {})
        assert not tracker.wait(2)
    assert count_waiting(tmp_path / "outbox") == 4
    assert "events wait on disk: MlflowException: API request to http://***@127.0.0.1" in caplog.text
    with pytest.raises(ConfigError, match="cannot be opened"):
        Tracker(uri, tmp_path / "outbox", "sms", "one")
    with Tracker(uri, tmp_path / "outbox", "sms", "one", run_id=run_id) as tracker:
        assert tracker.start_sweep({}, []) == run_id
        tracker.end_sweep(State.FINISHED, {}, {})
        assert count_waiting(tmp_path / "outbox") == 6
        server.start()
        assert tracker.wait()
    assert count_waiting(tmp_path / "outbox") == 0
    assert trials(server)[0].info.status == "FAILED"
    assert trials(server)[0].data.metrics == {"loss": 0.5}
    said = caplog.text + "".join(capfd.readouterr()) + (tmp_path / "outbox").read_bytes().decode("latin-1")
    assert "hunter2" not in said


@pytest.mark.ray
def test_a_sweep_outlives_its_server_and_a_resume_tells_the_rest(
    server: Server, blocks: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.engine.sweep.DELIVERY_TIMEOUT_SECONDS", 2.0)  # it will not come back before the end
    blocks["sweep"] |= {"tracking_uri": server.address, "confirm_seeds": 0}
    folder = SweepFolder(tmp_path / "runs", "tiny")

    def kill_when_a_trial_is_there() -> None:
        while not trials(server):
            time.sleep(0.1)
        server.kill()

    killer = threading.Thread(target=kill_when_a_trial_is_there)
    killer.start()
    outcome = start_sweep(build_plan(blocks, (Path(),), "tiny.yaml"), folder.storage)
    killer.join()
    assert outcome.complete
    [note] = outcome.notes
    assert f"{count_waiting(folder.outbox)} events wait in {folder.path}" in note
    assert f"`transfersweep resume tiny --storage {folder.storage}` delivers them" in note
    assert current_outcome("tiny", folder.storage) == outcome

    server.start()
    told = resume_sweep("tiny", folder.storage)
    assert told == replace(outcome, notes=()) == current_outcome("tiny", folder.storage)
    statuses = {State.FINISHED: "FINISHED", State.STOPPED: "KILLED"}
    assert {number: run.info.status for number, run in trials(server).items()} == {
        record.number: statuses[record.state] for record in outcome.trials
    }
    for record in outcome.trials:
        metrics = trials(server)[record.number].data.metrics
        assert metrics["target.epoch"] == record.params["target.epochs"] or record.state is State.STOPPED
    assert MlflowClient(server.address).get_run(str(outcome.run_id)).info.status == "FINISHED"


def losses(server: Server, number: int) -> list[tuple[int, float]]:
    """Return step and value of each report of a trial's loss in MLflow, in order."""
    run = trials(server).get(number)
    history = MlflowClient(server.address).get_metric_history(run.info.run_id, "target.validation.loss") if run else []
    return [(metric.step, metric.value) for metric in history]


@pytest.mark.ray
@pytest.mark.timeout(600)
def test_a_server_that_restarts_in_a_sweep_and_then_a_power_cut_lose_nothing(
    server: Server, blocks: dict[str, Any], tmp_path: Path
) -> None:
    point = {"source.enabled": False, "target.learning_rate": 1e-3, "target.epochs": 150}
    budget = {"trials": 2, "confirm_seeds": 0, "scheduler": "none", "checkpoint_seconds": 0.5}
    blocks["sweep"] |= {"tracking_uri": server.address, "start_with": [point] * 2, **budget}
    blocks["space"]["target.epochs"] = {"int": [1, 150]}
    file, log = tmp_path / "tiny.yaml", tmp_path / "log"
    file.write_text(dump_yaml(blocks), encoding="utf-8")
    folder = SweepFolder(tmp_path / "runs", "tiny")
    command = [sys.executable, "-m", "search", "run", str(file), "--storage", str(folder.storage)]
    with log.open("wb") as output:
        sweep = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)

    def wait_for_reports(more_than: int) -> None:
        while len(losses(server, 0)) <= more_than:
            assert sweep.poll() is None, log.read_text()
            time.sleep(0.1)

    try:
        wait_for_reports(0)
        server.kill()
        server.start()
        wait_for_reports(len(losses(server, 0)))  # the sweep goes on, and so does its delivery
    finally:
        os.killpg(sweep.pid, signal.SIGKILL)
        sweep.wait()
    server.kill()
    server.start()

    outcome = resume_sweep("tiny", folder.storage)
    assert [record.state for record in outcome.trials] == [State.FINISHED] * 2
    assert {number: run.info.status for number, run in trials(server).items()} == {0: "FINISHED", 1: "FINISHED"}
    *reports, last = losses(server, 0)
    assert [step for step, _ in reports] == list(range(0, 451, 3))  # each once: before the first step and each epoch
    assert last == (450, outcome.trials[0].metrics["target.validation.loss"])  # of the epoch whose model is kept
    assert losses(server, 1) == [*reports, last]  # the settings are the same
    artifact = MlflowClient(server.address).download_artifacts(str(outcome.run_id), "report.html", str(tmp_path))
    assert Path(artifact).read_bytes() == folder.report.read_bytes()
