import json
import math
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from search.records import State
from search.tracking import SWEEP_ID, DatasetInfo, Tracker, redact, ui_command
from trainable.errors import ConfigError

DATA = DatasetInfo("sms.csv", "0123456789" * 5, "target", rows=20, columns={"text": "string", "label": "string"})


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with MLflow's tables and nothing in them: they take a second to make, a copy takes none."""
    file = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(f"sqlite:///{file}").search_experiments()
    return file


@pytest.fixture
def uri(tmp_path: Path, empty_store: Path) -> str:
    file = tmp_path / "store" / "mlflow.db"
    file.parent.mkdir()
    shutil.copy(empty_store, file)
    return f"sqlite:///{file}"


def test_a_store_is_made_where_there_is_none(tmp_path: Path) -> None:
    started(f"sqlite:///{tmp_path}/new/folder/mlflow.db")
    assert (tmp_path / "new" / "folder" / "mlflow.db").exists()


def started(uri: str, sweep_id: str = "one") -> Tracker:
    tracker = Tracker(uri)
    tracker.start_sweep("sms", {"trial.encoder": "minilm"}, {SWEEP_ID: sweep_id}, [DATA])
    return tracker


def runs(uri: str) -> dict[str, Run]:
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("transfersweep")
    assert experiment
    found = client.search_runs([experiment.experiment_id])
    names = [run.info.run_name for run in found]
    assert len(names) == len(set(names)), names
    return dict(zip(names, found, strict=True))


def test_a_trial_is_nested_in_its_sweep_and_both_carry_their_tags(uri: str) -> None:
    tracker = started(uri)
    tracker.start_trial(7, {"target.epochs": 2}, {"transfersweep.role": "search"})
    sweep, trial = runs(uri)["sms"], runs(uri)["trial-007"]
    assert trial.data.tags["mlflow.parentRunId"] == sweep.info.run_id
    assert trial.data.tags["transfersweep.trial"] == "7"
    assert trial.data.tags["transfersweep.role"] == "search"
    assert trial.data.params == {"target.epochs": "2"}
    assert sweep.data.tags["version.torch"] and sweep.data.tags["version.python"]
    [given] = sweep.inputs.dataset_inputs
    assert (given.dataset.name, given.dataset.digest) == ("sms.csv", DATA.fingerprint[:36])
    assert json.loads(given.dataset.profile) == {"num_rows": 20}
    assert given.tags[0].value == "target"


def test_the_commit_of_the_working_directory_is_recorded(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "first"], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    started(uri)
    assert runs(uri)["sms"].data.tags["mlflow.source.git.commit"] == commit


def test_a_resume_finds_every_run_again_and_repeats_nothing(uri: str) -> None:
    first = started(uri)
    for number in (0, 1):
        first.start_trial(number, {"target.epochs": 3}, {})
    first.log(0, {"epoch": 1.0, "target.validation.loss": 0.5}, step=1)
    first.log(1, {"epoch": 1.0}, step=1)
    first.end_trial(1, State.LOST, "the driver was killed")

    second = started(uri)
    assert second.orphans() == [0]
    for number in (0, 1, 2):
        second.start_trial(number, {"target.epochs": 3, "target.padding": "longest"}, {})
    second.log(0, {"epoch": 1.0, "target.validation.loss": 0.5}, step=1)
    second.log(0, {"epoch": 2.0, "target.validation.loss": 0.4}, step=2)

    found = runs(uri)
    assert set(found) == {"sms", "trial-000", "trial-001", "trial-002"}
    assert second.orphans() == [0, 1, 2]
    assert "transfersweep.error" not in found["trial-001"].data.tags
    assert found["trial-001"].data.params == {"target.epochs": "3", "target.padding": "longest"}
    history = MlflowClient(uri).get_metric_history(found["trial-000"].info.run_id, "target.validation.loss")
    assert [(m.step, m.value) for m in history] == [(1, 0.5), (2, 0.4)]


def test_opening_twice_is_harmless_even_with_another_value(uri: str) -> None:
    tracker = started(uri)
    run_id = tracker.start_trial(0, {"target.epochs": 3}, {})
    assert tracker.start_trial(0, {"target.epochs": 4}, {}) == run_id
    assert runs(uri)["trial-000"].data.params == {"target.epochs": "3"}


def test_another_sweep_of_the_same_name_has_its_own_runs(uri: str) -> None:
    first, second = started(uri), Tracker(uri)
    first.start_trial(0, {}, {})
    second.start_sweep("sms", {}, {SWEEP_ID: "two"}, [])
    assert second.orphans() == []


@pytest.mark.parametrize(
    ("state", "status"),
    [(State.FINISHED, "FINISHED"), (State.STOPPED, "KILLED"), (State.FAILED, "FAILED"), (State.LOST, "FAILED")],
)
def test_a_trial_ends_in_its_state(uri: str, state: State, status: str) -> None:
    tracker = started(uri)
    tracker.start_trial(0, {}, {})
    error = "CUDA out of memory" if status == "FAILED" else None
    tracker.end_trial(0, state, error)
    trial = runs(uri)["trial-000"]
    assert trial.info.status == status
    assert trial.data.tags["transfersweep.state"] == state.value
    assert trial.data.tags.get("transfersweep.error") == error
    assert tracker.orphans() == []


def test_more_parameters_than_one_request_takes(uri: str) -> None:
    params = {f"target.setting_{i}": i for i in range(150)}
    started(uri).start_trial(0, params, {})
    assert runs(uri)["trial-000"].data.params == {name: str(value) for name, value in params.items()}


def test_awkward_values_of_parameters(uri: str) -> None:
    given = {"none": None, "false": False, "list": [0.1, 0.2], "quote": 'it\'s "ä" \n%', "long": "x" * 9000, "e": ""}
    started(uri).start_trial(0, given, {})
    written = runs(uri)["trial-000"].data.params
    assert written == {
        "none": "none",
        "false": "False",
        "list": "[0.1, 0.2]",
        "quote": 'it\'s "ä" \n%',
        "long": "x" * 6000,
        "e": "",
    }


def test_metrics_that_are_no_numbers_are_kept_as_nan(uri: str) -> None:
    tracker = started(uri)
    tracker.start_trial(0, {}, {})
    tracker.log(0, {"target.train.loss": math.nan, "target.validation.loss": math.inf, "epoch": 1.0}, step=1)
    metrics = runs(uri)["trial-000"].data.metrics
    assert math.isnan(metrics["target.train.loss"])
    assert math.isnan(metrics["target.validation.loss"])
    assert metrics["epoch"] == 1.0


def test_the_end_of_a_sweep_and_its_files(uri: str, tmp_path: Path) -> None:
    tracker = started(uri)
    tracker.start_trial(0, {}, {})
    tracker.log_text(0, "hello", "notes.txt")
    tracker.log_artifact_json(None, {"winner": 0}, "outcome.json")
    tracker.end_sweep(State.STOPPED, {"worker_hours": 0.5}, {"transfersweep.winner": "0"})
    sweep = runs(uri)["sms"]
    assert (sweep.info.status, sweep.data.metrics) == ("KILLED", {"worker_hours": 0.5})
    assert sweep.data.tags["transfersweep.winner"] == "0"
    files = {path.name: path.read_text() for path in (tmp_path / "store" / "mlartifacts").rglob("*.*")}
    assert files["notes.txt"] == "hello"
    assert json.loads(files["outcome.json"]) == {"winner": 0}


def test_a_deleted_experiment_is_restored(uri: str) -> None:
    started(uri)
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("transfersweep")
    assert experiment
    client.delete_experiment(experiment.experiment_id)
    started(uri, "two")
    restored = client.get_experiment_by_name("transfersweep")
    assert restored and restored.lifecycle_stage == "active"


def test_system_metrics_go_to_the_sweep(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.05")
    tracker = Tracker(uri, system_metrics=True)
    tracker.start_sweep("sms", {}, {SWEEP_ID: "one"}, [])
    while not runs(uri)["sms"].data.metrics:  # the test's own time limit ends a wait in vain
        time.sleep(0.05)
    tracker.end_sweep(State.FINISHED, {}, {})
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
def test_a_uri_that_cannot_be_opened_is_one_readable_error(bad: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Tracker(bad)
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
    ],
)
def test_redact(text: str, shown: str) -> None:
    assert redact(text) == shown


def test_passwords_reach_neither_parameters_nor_tags(uri: str) -> None:
    tracker = started(uri)
    tracker.start_trial(0, {"source": "postgresql://bob:hunter2@db/x"}, {"from": "http://bob:hunter2@h"})
    tracker.end_trial(0, State.FAILED, "no answer from http://bob:hunter2@h")
    trial = runs(uri)["trial-000"]
    assert "hunter2" not in str({**trial.data.params, **trial.data.tags})


def test_the_ui_opens_a_file_on_this_machine_only_and_a_server_not_at_all(uri: str, tmp_path: Path) -> None:
    command = ui_command(uri, 5055)
    assert command[1:4] == ["-m", "mlflow", "ui"]
    options = dict(zip(command[4::2], command[5::2], strict=True))
    assert options["--backend-store-uri"] == uri
    assert options["--default-artifact-root"] == (tmp_path / "store" / "mlartifacts").as_uri()
    assert (options["--host"], options["--port"]) == ("127.0.0.1", "5055")
    assert ui_command("https://mlflow.example") == []
