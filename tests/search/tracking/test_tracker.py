import json
import math
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from search.record.records import State
from search.redaction import redact
from search.storage.outbox import Outbox
from search.storage.store_uri import ui_command
from search.tracking.mlflow_events import DatasetInfo, encode, started
from search.tracking.tracker import Tracker
from trainable.errors import ConfigError

DATA = DatasetInfo("sms.csv", "0123456789" * 5, "target", rows=20, columns={"text": "string", "label": "string"})


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with MLflow's empty tables; creating them takes a second, copying them does not."""
    file = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(f"sqlite:///{file}").search_experiments()
    return file


@pytest.fixture
def uri(tmp_path: Path, empty_store: Path) -> str:
    file = tmp_path / "store" / "mlflow.db"
    file.parent.mkdir()
    shutil.copy(empty_store, file)
    return f"sqlite:///{file}"


@pytest.fixture
def open_tracker(uri: str, tmp_path: Path) -> Iterator[Callable[..., Tracker]]:
    """Return a function that opens trackers of the store, by default with the same outbox; they end with the test."""
    with ExitStack() as stack:

        def open_one(sweep_id: str = "one", outbox: str = "outbox.db", **settings: Any) -> Tracker:
            return stack.enter_context(Tracker(uri, tmp_path / outbox, "sms", sweep_id, **settings))

        yield open_one


@pytest.fixture
def tracker(open_tracker: Callable[..., Tracker]) -> Tracker:
    """Return a tracker whose sweep has begun."""
    tracker = open_tracker()
    tracker.start_sweep({"trial.encoder": "minilm"}, [DATA])
    return tracker


def delivered(tracker: Tracker) -> Tracker:
    assert tracker.wait()
    assert tracker.refused == ()
    return tracker


def killed(tracker: Tracker) -> None:
    """Stop a tracker as a kill would: events that are not delivered stay."""
    tracker.__exit__()


def test_a_missing_store_is_created(tmp_path: Path) -> None:
    with Tracker(f"sqlite:///{tmp_path}/new/folder/mlflow.db", tmp_path / "outbox", "sms", "one") as tracker:
        assert tracker.start_sweep({}, [])
    assert (tmp_path / "new" / "folder" / "mlflow.db").exists()


def runs(uri: str) -> dict[str, Run]:
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("transfersweep")
    assert experiment
    found = client.search_runs([experiment.experiment_id])
    names = [run.info.run_name for run in found]
    assert len(names) == len(set(names)), names
    return dict(zip(names, found, strict=True))


def history(uri: str, name: str, metric: str) -> list[tuple[int, float]]:
    found = MlflowClient(uri).get_metric_history(runs(uri)[name].info.run_id, metric)
    return [(m.step, m.value) for m in found]


def test_a_trial_is_nested_in_its_sweep_and_both_have_their_tags(uri: str, tracker: Tracker) -> None:
    tracker.start_trial(7, {"target.epochs": 2}, {"transfersweep.role": "search"})
    delivered(tracker)
    sweep, trial = runs(uri)["sms"], runs(uri)["trial-007"]
    assert trial.data.tags["mlflow.parentRunId"] == sweep.info.run_id
    assert trial.data.tags["transfersweep.trial"] == "7"
    assert trial.data.tags["transfersweep.role"] == "search"
    assert trial.data.params == {"target.epochs": "2"}
    assert sweep.data.params == {"trial.encoder": "minilm"}
    assert sweep.data.tags["version.torch"] and sweep.data.tags["version.python"]
    [given] = sweep.inputs.dataset_inputs
    assert (given.dataset.name, given.dataset.digest) == ("sms.csv", DATA.fingerprint[:36])
    assert json.loads(given.dataset.profile) == {"num_rows": 20}
    assert given.tags[0].value == "target"


def test_the_commit_of_the_working_directory_is_recorded(
    uri: str, open_tracker: Callable[..., Tracker], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "first"], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    open_tracker().start_sweep({}, [])
    assert runs(uri)["sms"].data.tags["mlflow.source.git.commit"] == commit


def test_a_resume_finds_every_run_again_and_repeats_nothing(uri: str, open_tracker: Callable[..., Tracker]) -> None:
    first = open_tracker()
    own = first.start_sweep({}, [])
    for number in (0, 1):
        first.start_trial(number, {"target.epochs": 3}, {})
    first.log(0, {"epoch": 1.0, "target.validation.loss": 0.5}, step=1)
    first.log(1, {"epoch": 1.0}, step=1)
    first.end_trial(1, State.LOST, "the driver was killed")
    killed(delivered(first))

    second = open_tracker()
    assert second.start_sweep({}, []) == own
    for number in (0, 1, 2):
        second.start_trial(number, {"target.epochs": 3, "target.padding": "longest"}, {})
    second.log(0, {"epoch": 1.0, "target.validation.loss": 0.5}, step=1)
    second.log(0, {"epoch": 2.0, "target.validation.loss": 0.4}, step=2)
    delivered(second)

    found = runs(uri)
    assert set(found) == {"sms", "trial-000", "trial-001", "trial-002"}
    assert {run.info.status for run in found.values()} == {"RUNNING"}
    assert "transfersweep.error" not in found["trial-001"].data.tags
    assert found["trial-001"].data.params == {"target.epochs": "3", "target.padding": "longest"}
    assert history(uri, "trial-000", "target.validation.loss") == [(1, 0.5), (2, 0.4)]


def test_events_of_a_killed_driver_are_delivered_first_and_once(
    uri: str, open_tracker: Callable[..., Tracker], tmp_path: Path
) -> None:
    first = open_tracker()
    first.start_sweep({}, [])
    first.start_trial(0, {"target.epochs": 3}, {})
    first.log(0, {"epoch": 1.0}, step=1)
    delivered(first)
    with sqlite3.connect(uri.removeprefix("sqlite:///"), isolation_level=None) as lock:
        lock.execute("BEGIN IMMEDIATE")  # nothing is delivered until all is on disk
        first.log(0, {"epoch": 2.0}, step=2)
        first.end_trial(0, State.FINISHED)
        left = (tmp_path / "outbox.db").read_bytes()
    killed(delivered(first))
    (tmp_path / "outbox.db").write_bytes(left)  # the kill came before the delivered events were removed

    second = open_tracker()
    second.start_sweep({}, [])
    second.log(0, {"epoch": 3.0}, step=3)
    delivered(second)
    assert history(uri, "trial-000", "epoch") == [(1, 1.0), (2, 2.0), (3, 3.0)]
    assert runs(uri)["trial-000"].info.status == "FINISHED"


def test_events_of_an_earlier_version_are_delivered_once(
    uri: str, open_tracker: Callable[..., Tracker], tmp_path: Path
) -> None:
    """An earlier version wrote the outbox; two of its events had been delivered."""
    first = open_tracker()
    first.start_sweep({}, [])
    first.start_trial(0, {"target.epochs": 3}, {})
    killed(delivered(first))
    shutil.copy(Path(__file__).parent / "outbox-2026-11.jsonl", tmp_path / "outbox.jsonl")

    killed(delivered(open_tracker()))
    assert not (tmp_path / "outbox.jsonl").exists()
    found = runs(uri)
    assert {name: run.info.status for name, run in found.items()} == {
        "sms": "KILLED",
        "trial-000": "FAILED",
        "trial-000.seed-2": "RUNNING",
        "trial-001": "FAILED",
    }
    assert history(uri, "trial-000", "target.validation.macro_f1") == [(2, 0.5)]
    assert math.isnan(found["trial-000"].data.metrics["loss"])
    assert found["trial-000"].data.metrics["score"] == 0.5
    assert found["trial-000"].data.tags["transfersweep.error"] == "the loss is nan"
    assert found["trial-000.seed-2"].data.params == {"target.epochs": "3", "seed": "2"}
    assert found["sms"].data.metrics == {"trials": 2.0}


def test_unreadable_events_are_skipped(uri: str, open_tracker: Callable[..., Tracker], tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox.db")
    for event in ("{", '{"what": "nothing known"}', encode(started(None, {}, {}))):
        outbox.append(event)
    outbox.close()
    tracker = open_tracker()
    assert tracker.wait()
    assert len(tracker.refused) == 2
    assert runs(uri)["sms"].info.status == "RUNNING"


def test_events_delivered_twice_change_nothing(uri: str, open_tracker: Callable[..., Tracker], tmp_path: Path) -> None:
    """In the worst case all events are delivered again, from the sweep's start to its end."""
    file = tmp_path / "outbox.db"

    def put_events(tracker: Tracker) -> bytes:
        with sqlite3.connect(uri.removeprefix("sqlite:///"), isolation_level=None) as lock:
            lock.execute("BEGIN IMMEDIATE")  # nothing is delivered until all is on disk
            tracker.start_trial(0, {"target.epochs": 3}, {"transfersweep.role": "search"})
            for step in range(5):
                tracker.log(0, {"loss": 1 / (step + 1), "nan": math.nan}, step)
            tracker.end_trial(0, State.FAILED, "out of memory")
            tracker.end_sweep(State.FINISHED, {"trials": 1}, {"transfersweep.winner": "0"})
            tracker.log_text(None, "{}", "outcome.json")
            return file.read_bytes()

    first = open_tracker()
    first.start_sweep({}, [DATA])
    waiting = put_events(first)
    killed(delivered(first))
    before = {name: repr(run.to_dictionary()) for name, run in runs(uri).items()}  # text, as NaN is not equal to NaN
    file.write_bytes(waiting)
    delivered(open_tracker())
    assert {name: repr(run.to_dictionary()) for name, run in runs(uri).items()} == before
    assert history(uri, "trial-000", "loss") == [(step, 1 / (step + 1)) for step in range(5)]
    assert len(history(uri, "trial-000", "nan")) == 5


def test_no_call_waits_for_a_locked_database(uri: str, tracker: Tracker) -> None:
    with sqlite3.connect(uri.removeprefix("sqlite:///"), isolation_level=None) as lock:
        lock.execute("BEGIN EXCLUSIVE")
        for number in range(3):
            tracker.start_trial(number, {}, {})
            for step in range(10):
                tracker.log(number, {"loss": float(step)}, step)
            tracker.end_trial(number, State.FINISHED)
        assert not tracker.wait(0.1)
    delivered(tracker)
    for number in range(3):
        assert history(uri, f"trial-{number:03d}", "loss") == [(step, float(step)) for step in range(10)]
        assert runs(uri)[f"trial-{number:03d}"].info.status == "FINISHED"


def test_durations_are_those_of_the_trial_not_of_the_delivery(uri: str, tracker: Tracker) -> None:
    with sqlite3.connect(uri.removeprefix("sqlite:///"), isolation_level=None) as lock:
        lock.execute("BEGIN EXCLUSIVE")
        tracker.start_trial(0, {}, {})
        tracker.end_trial(0, State.FINISHED)
        put = time.time() * 1000
        time.sleep(0.3)
    delivered(tracker)
    info = runs(uri)["trial-000"].info
    assert info.start_time <= info.end_time <= put


def test_a_run_that_a_user_deleted_is_created_again(uri: str, tracker: Tracker) -> None:
    tracker.start_trial(0, {}, {})
    delivered(tracker)
    MlflowClient(uri).delete_run(runs(uri)["trial-000"].info.run_id)
    tracker.log(0, {"loss": 1.0}, step=1)
    tracker.end_trial(0, State.FINISHED)
    delivered(tracker)
    assert runs(uri)["trial-000"].info.status == "FINISHED"


def test_an_event_that_mlflow_refuses_does_not_block_others(uri: str, tracker: Tracker) -> None:
    tracker.start_trial(0, {}, {})
    tracker.log(0, {"a name with a ? in it": 1.0}, step=1)
    tracker.log(0, {"loss": 1.0}, step=1)
    assert tracker.wait()
    [why] = tracker.refused
    assert "a name with a ? in it" in why
    assert runs(uri)["trial-000"].data.metrics == {"loss": 1.0}


def test_starting_a_trial_again_keeps_its_parameters(uri: str, tracker: Tracker) -> None:
    tracker.start_trial(0, {"target.epochs": 3}, {})
    tracker.start_trial(0, {"target.epochs": 4}, {})
    delivered(tracker)
    assert runs(uri)["trial-000"].data.params == {"target.epochs": "3"}


def test_reconciling_ends_open_runs_and_removes_duplicates(uri: str, tracker: Tracker) -> None:
    tracker.start_trial(0, {"target.epochs": 3}, {})
    tracker.start_trial(1, {}, {})
    tracker.end_trial(1, State.STOPPED)
    delivered(tracker)
    client, twice = MlflowClient(uri), runs(uri)["trial-000"]
    client.create_run(twice.info.experiment_id, tags=twice.data.tags)
    tracker.reconcile({0: (State.FAILED, "a NaN", {}), 1: (State.FINISHED, None, {}), 2: (State.LOST, None, {})})
    delivered(tracker)
    assert {name: run.info.status for name, run in runs(uri).items()} == {
        "sms": "RUNNING",
        "trial-000": "FAILED",
        "trial-001": "KILLED",  # its run had already ended
        "trial-002": "FAILED",  # its run was missing
    }
    closed = runs(uri)["trial-000"]
    assert (closed.info.run_id, closed.data.tags["transfersweep.error"]) == (twice.info.run_id, "a NaN")


def test_another_sweep_of_the_same_name_has_its_own_runs(
    uri: str, tracker: Tracker, open_tracker: Callable[..., Tracker]
) -> None:
    tracker.start_trial(0, {}, {})
    delivered(tracker)
    second = open_tracker("two", "another.db")
    own = second.start_sweep({}, [])
    second.reconcile({0: (State.LOST, None, {})})
    delivered(second)
    client = MlflowClient(uri)
    assert own != tracker.start_sweep({}, [])
    found = client.search_runs(["1"], "tags.`transfersweep.trial` = '0'", order_by=["attributes.start_time"])
    assert [run.info.status for run in found] == ["RUNNING", "FAILED"]
    assert found[1].data.tags["mlflow.parentRunId"] == own


@pytest.mark.parametrize(
    ("state", "status"),
    [(State.FINISHED, "FINISHED"), (State.STOPPED, "KILLED"), (State.FAILED, "FAILED"), (State.LOST, "FAILED")],
)
def test_a_trial_ends_in_its_state(uri: str, tracker: Tracker, state: State, status: str) -> None:
    tracker.start_trial(0, {}, {})
    error = "CUDA out of memory" if status == "FAILED" else None
    tracker.end_trial(0, state, error)
    delivered(tracker)
    trial = runs(uri)["trial-000"]
    assert trial.info.status == status
    assert trial.data.tags["transfersweep.state"] == state.value
    assert trial.data.tags.get("transfersweep.error") == error


def test_an_ended_run_shows_its_best_metrics_and_keeps_its_curve(uri: str, tracker: Tracker) -> None:
    """The best value may be the highest or the lowest, and need not be the last."""
    best = {"score": 0.9, "target.validation.macro_f1": 0.9, "target.validation.loss": 0.2}
    with sqlite3.connect(uri.removeprefix("sqlite:///"), isolation_level=None) as lock:
        lock.execute("BEGIN IMMEDIATE")  # all events are delivered together
        for number in (0, 1):
            tracker.start_trial(number, {}, {})
            for step, (f1, loss) in enumerate([(0.4, 0.7), (0.9, 0.2), (0.6, 0.5)]):
                said = {
                    "target.validation.macro_f1": f1,
                    "target.validation.loss": loss,
                    "score": max(f1, 0.9 * (step > 0)),
                }
                tracker.log(number, said, step)
        tracker.end_trial(0, State.FINISHED, metrics=best)
        tracker.reconcile({1: (State.FINISHED, None, best)})
    delivered(tracker)
    for name in ("trial-000", "trial-001"):
        assert runs(uri)[name].data.metrics == best
        assert history(uri, name, "target.validation.loss") == [(0, 0.7), (1, 0.2), (2, 0.5), (2, 0.2)]
        assert history(uri, name, "score") == [(0, 0.4), (1, 0.9), (2, 0.9)]


def test_a_run_of_an_earlier_version_gets_its_score(uri: str, tracker: Tracker) -> None:
    tracker.start_trial(0, {}, {})
    tracker.log(0, {"target.validation.macro_f1": 0.9}, 1)
    tracker.log(0, {"target.validation.macro_f1": 0.6}, 2)
    tracker.end_trial(0, State.FINISHED)
    delivered(tracker)
    ended = runs(uri)["trial-000"].info.end_time
    best = {"score": 0.9, "target.validation.macro_f1": 0.9}
    tracker.reconcile({0: (State.FINISHED, None, best)})
    delivered(tracker)
    run = runs(uri)["trial-000"]
    assert (run.data.metrics, run.info.status, run.info.end_time) == (best, "FINISHED", ended)


def test_a_repeat_has_its_own_run_also_one_of_an_earlier_version(
    uri: str, open_tracker: Callable[..., Tracker]
) -> None:
    first = open_tracker()
    first.start_sweep({}, [])
    first.start_trial("6.seed-2", {"seed": 2}, {"transfersweep.role": "confirm", "transfersweep.of": "6"})
    # Earlier versions numbered repeats like trials.
    first.start_trial(19, {"seed": 3}, {"transfersweep.role": "no_source", "transfersweep.of": "6"})
    killed(delivered(first))
    second = open_tracker()
    second.start_sweep({}, [])
    second.end_trial("6.seed-2", State.FINISHED)
    second.end_trial("6.no-source.seed-3", State.FINISHED)
    delivered(second)
    states = {name: run.info.status for name, run in runs(uri).items()}
    assert states == {"sms": "RUNNING", "trial-006.seed-2": "FINISHED", "trial-019": "FINISHED"}


def test_more_parameters_and_metrics_than_one_request_takes(uri: str, tracker: Tracker) -> None:
    params = {f"target.setting_{i}": i for i in range(150)}
    tracker.start_trial(0, params, {})
    for step in range(3):
        tracker.log(0, {f"metric_{i}": float(i) for i in range(400)}, step)
    delivered(tracker)
    data = runs(uri)["trial-000"].data
    assert data.params == {name: str(value) for name, value in params.items()}
    assert data.metrics == {f"metric_{i}": float(i) for i in range(400)}


def test_awkward_values_of_parameters(uri: str, tracker: Tracker) -> None:
    given = {"none": None, "false": False, "list": [0.1, 0.2], "quote": 'it\'s "ä" \n%', "long": "x" * 9000, "e": ""}
    tracker.start_trial(0, given, {})
    delivered(tracker)
    assert runs(uri)["trial-000"].data.params == {
        "none": "none",
        "false": "False",
        "list": "[0.1, 0.2]",
        "quote": 'it\'s "ä" \n%',
        "long": "x" * 6000,
        "e": "",
    }


def test_infinite_metrics_are_stored_as_nan(uri: str, tracker: Tracker) -> None:
    tracker.start_trial(0, {}, {})
    tracker.log(0, {"target.train.loss": math.nan, "target.validation.loss": math.inf, "epoch": 1.0}, step=1)
    delivered(tracker)
    metrics = runs(uri)["trial-000"].data.metrics
    assert math.isnan(metrics["target.train.loss"])
    assert math.isnan(metrics["target.validation.loss"])
    assert metrics["epoch"] == 1.0


def test_the_end_of_a_sweep_and_its_files(uri: str, tracker: Tracker, tmp_path: Path) -> None:
    tracker.start_trial(0, {}, {})
    tracker.log_text(0, "hello", "notes.txt")
    tracker.end_sweep(State.STOPPED, {"worker_hours": 0.5}, {"transfersweep.winner": "0"})
    tracker.log_text(None, "{}", "outcome.json")
    delivered(tracker)
    sweep = runs(uri)["sms"]
    assert (sweep.info.status, sweep.data.metrics) == ("KILLED", {"worker_hours": 0.5})
    assert sweep.data.tags["transfersweep.winner"] == "0"
    files = {path.name: path.read_text() for path in (tmp_path / "store" / "mlartifacts").rglob("*.*")}
    assert files["notes.txt"] == "hello"
    assert files["outcome.json"] == "{}"


def test_a_deleted_experiment_is_restored(uri: str, open_tracker: Callable[..., Tracker]) -> None:
    open_tracker().start_sweep({}, [])
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("transfersweep")
    assert experiment
    client.delete_experiment(experiment.experiment_id)
    open_tracker("two", "another.db").start_sweep({}, [])
    restored = client.get_experiment_by_name("transfersweep")
    assert restored and restored.lifecycle_stage == "active"


def test_system_metrics_go_to_the_sweep(
    uri: str, open_tracker: Callable[..., Tracker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.05")
    tracker = open_tracker(system_metrics=True)
    tracker.start_sweep({}, [])
    while not runs(uri)["sms"].data.metrics:  # the test's time limit ends an endless wait
        time.sleep(0.05)
    tracker.end_sweep(State.FINISHED, {}, {})
    delivered(tracker)
    assert "system/cpu_utilization_percentage" in runs(uri)["sms"].data.metrics


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "nonsense://somewhere",
        "./mlruns",
        "http://bob:hunter2@127.0.0.1:9",
        "postgresql+nodriver://bob:hunter2@127.0.0.1:1/x",
        "sqlite:////dev/null/mlflow.db",
        f"sqlite:///{__file__}",
    ],
)
def test_a_uri_that_cannot_be_opened_is_one_readable_error(bad: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        Tracker(bad, tmp_path / "outbox", "sms", "one")
    [problem] = caught.value.problems
    assert problem.startswith("sweep.tracking_uri: ")
    assert "\n" not in problem
    assert "hunter2" not in problem


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://bob:hunter2@db:5432/x", "postgresql://***@db:5432/x"),
        ("https://token@host/p", "https://***@host/p"),
        ("mysql+pymysql://a:p@ss/w@h/x", "mysql+pymysql://***@h/x"),
        ("postgresql://db/x?user=a&password=p&sslmode=on", "postgresql://db/x?user=a&password=***&sslmode=on"),
        ("cannot open 'http://a:b@h' now", "cannot open 'http://***@h' now"),
        ("sqlite:////home/a@b/mlflow.db", "sqlite:////home/a@b/mlflow.db"),
        ("https://host/p and me@home", "https://host/p and me@home"),
        ("POSTGRESQL://bob:hunter2@db", "POSTGRESQL://***@db"),
        ("got 'postgresql://bob:hunt...", "got 'postgresql://***"),
        ("at http://127.0.0.1:5000, or ray://[::1]:10001", "at http://127.0.0.1:5000, or ray://[::1]:10001"),
        ("https://host: no answer", "https://host: no answer"),
        ("postgresql://bob:hun?t#e'r2@db/x", "postgresql://***@db/x"),
        ("sqlite+pysqlcipher://:hunter2@/x.db", "sqlite+pysqlcipher://***@/x.db"),
        ("postgresql://db/x?sslpassword=p&api_key=k&a=b", "postgresql://db/x?sslpassword=***&api_key=***&a=b"),
    ],
)
def test_redact(text: str, shown: str) -> None:
    assert redact(text) == shown


def test_passwords_reach_neither_parameters_nor_tags_nor_the_outbox(uri: str, tracker: Tracker, tmp_path: Path) -> None:
    with sqlite3.connect(uri.removeprefix("sqlite:///"), isolation_level=None) as lock:
        lock.execute("BEGIN EXCLUSIVE")
        tracker.start_trial(0, {"source": "postgresql://bob:hunter2@db/x"}, {"from": "http://bob:hunter2@h"})
        tracker.end_trial(0, State.FAILED, "no answer from http://bob:hunter2@h")
        tracker.reconcile({0: (State.FAILED, "no answer from http://bob:hunter2@h", {})})
        tracker.end_sweep(State.FINISHED, {}, {"from": "http://bob:hunter2@h"})
        waiting = (tmp_path / "outbox.db").read_bytes()
    assert waiting.count(b'"what"') == 4
    assert b"hunter2" not in waiting
    delivered(tracker)
    trial = runs(uri)["trial-000"]
    assert trial.data.params["source"] == "postgresql://***@db/x"
    assert trial.data.tags["transfersweep.error"] == "no answer from http://***@h"


def test_the_ui_is_local(uri: str, tmp_path: Path) -> None:
    command, variables = ui_command(uri, 5055)
    assert command[1:4] == ["-m", "mlflow", "ui"]
    options = dict(zip(command[4::2], command[5::2], strict=True))
    assert variables["MLFLOW_BACKEND_STORE_URI"] == uri
    assert options["--default-artifact-root"] == (tmp_path / "store" / "mlartifacts").as_uri()
    assert (options["--host"], options["--port"]) == ("127.0.0.1", "5055")


def test_a_file_of_the_sweep_becomes_an_artifact_with_its_newest_content(
    open_tracker: Callable[..., Tracker], tmp_path: Path, uri: str
) -> None:
    tracker = open_tracker()
    run_id = tracker.start_sweep({}, [])
    file = tmp_path / "report.html"
    for content in ("first", "second"):
        file.write_text(content)
        tracker.log_file(None, file.name)
        delivered(tracker)
    client = MlflowClient(uri)
    assert [each.path for each in client.list_artifacts(run_id)] == ["report.html"]
    assert Path(client.download_artifacts(run_id, "report.html", str(tmp_path / "store"))).read_text() == "second"


def test_a_file_that_was_deleted_before_its_delivery_holds_nothing_up(tracker: Tracker) -> None:
    tracker.log_file(None, "report.html")
    tracker.end_sweep(State.FINISHED, {}, {})
    assert tracker.wait()
    (reason,) = tracker.refused
    assert "report.html: no such file any more" in reason
