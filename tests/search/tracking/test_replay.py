"""Runs that MLflow has lost are created again from the study, tested with a real file and deletions as by users."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run, ViewType
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from search.engine.mlflow_trials import MlflowTrials
from search.plan.plan import Plan, build_plan
from search.record.records import State
from search.storage.store_uri import sqlite_uri
from search.study.finalists import Repeat
from search.study.sweep_study import SweepStudy
from search.tracking.experiment import EXPERIMENT
from search.tracking.mlflow_events import DatasetInfo, started
from search.tracking.replay import Replay, keep_sweep_start
from search.tracking.tracker import Tracker
from trainable.workers.messages import TrialReport

SETTINGS = {"sweep.trials": 4, "sweep.metric": "macro_f1"}
DATA = [DatasetInfo("tweets", "0123", "target", rows=64, columns={"text": "string"})]
Lose = Callable[["Sweep"], None]


class Sweep:
    """A study and MLflow in several sessions, without Ray; the reports of trials are invented."""

    def __init__(self, plan: Plan, folder: Path, sessions: ExitStack) -> None:
        self.plan, self.folder, self.sessions = plan, folder, sessions
        self.file = folder / "mlflow.db"
        self.uri = sqlite_uri(self.file)
        self.client = MlflowClient(self.uri)
        self.study = SweepStudy(folder / "study.db", plan.settings, plan.space, 0)

    def begin_session(self) -> None:
        """Begin a session as `run_sweep` does, and reopen the runs of running trials."""
        replay, run_id = Replay(self.plan, self.study), self.study.user_attr("run_id")
        self.tracker = self.sessions.enter_context(
            Tracker(self.uri, self.folder / "outbox", "tiny", "1", False, run_id, replay)
        )
        self.runs = MlflowTrials(self.plan, self.study, self.tracker)
        keep_sweep_start(self.study, started(None, SETTINGS, {"version.torch": "2"}, DATA))
        self.study.set_user_attr("run_id", self.tracker.start_sweep(SETTINGS, DATA))
        for record in self.study.running():
            self.runs.open(record.key)
        assert self.tracker.wait()

    def begin(self) -> None:
        """Begin a sweep: one trial has finished, one was stopped, one runs, and the first has a repeat."""
        self.begin_session()
        for value, state in ((0.75, State.FINISHED), (0.5, State.STOPPED), (0.25, None)):
            record = self.study.begin_search_trial()
            assert record is not None
            self.train(record.key, value, state)
        again = self.study.begin_repeat(Repeat("confirm", 0, 1, self.study.record(0).params))
        self.train(again.key, 0.625, State.FINISHED)
        assert self.tracker.wait()

    def train(self, key: Any, value: float, state: State | None) -> None:
        self.runs.open(key)
        for step, reached in ((10, value), (20, value / 2)):
            self.report(key, reached, step, improved=step == 10, best=value)
        if state:
            self.study.end(key, state)
            self.runs.close(key)

    def report(self, key: Any, reached: float, step: int, improved: bool, best: float) -> None:
        metrics = {"target.validation.macro_f1": reached}
        said = TrialReport("target", step, 1.0, step / 40, value=best, metrics=metrics, improved=improved)
        self.study.report(key, said)
        self.runs.log(key, said)

    def go_on(self) -> None:
        """End the running trial, then the sweep."""
        self.report(2, 0.125, 30, improved=False, best=0.25)
        assert self.tracker.wait()
        self.study.end(2, State.FINISHED)
        self.runs.close(2)
        self.runs.reconcile()
        self.tracker.end_sweep(State.FINISHED, {"trials": 3}, {"transfersweep.winner": "0"})
        assert self.tracker.wait()
        assert self.tracker.refused == ()

    def shown(self) -> list[Run]:
        """Return all runs that are not deleted, the sweep's own first."""
        self.client = MlflowClient(self.uri)
        experiment = self.client.get_experiment_by_name(EXPERIMENT)
        assert experiment and experiment.lifecycle_stage == "active"
        found = self.client.search_runs([experiment.experiment_id], run_view_type=ViewType.ACTIVE_ONLY)
        return sorted(found, key=lambda run: ("mlflow.parentRunId" in run.data.tags, run.info.run_name))

    def run(self, name: str) -> str:
        [found] = [run for run in self.shown() if run.info.run_name == name]
        return str(found.info.run_id)


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a sweep after its first session, which all tests copy: MLflow needs long to create its tables."""
    return tmp_path_factory.mktemp("begun")


@pytest.fixture
def sweep(blocks: dict[str, Any], begun: Path, tmp_path: Path) -> Iterator[Sweep]:
    """Copy a sweep with two ended trials, a repeat, and a trial that ran when the session ended."""
    plan = build_plan(blocks, (Path(),), "tiny")
    with ExitStack() as sessions:
        if not (begun / "study.db").exists():
            Sweep(plan, begun, sessions).begin()
    with ExitStack() as sessions:
        yield Sweep(plan, Path(shutil.copytree(begun, tmp_path / "sweep")), sessions)


def assert_all_is_there(sweep: Sweep) -> None:
    parent, *nested = sweep.shown()
    assert [parent.info.run_name, *(run.info.run_name for run in nested)] == [
        "tiny",
        "trial-000",
        "trial-000.seed-1",
        "trial-001",
        "trial-002",
    ]
    assert parent.info.status == "FINISHED"
    assert parent.data.params == {name: str(value) for name, value in SETTINGS.items()}
    assert parent.data.tags["transfersweep.winner"] == "0"
    assert "version.torch" in parent.data.tags
    assert [given.dataset.name for given in parent.inputs.dataset_inputs] == ["tweets"]
    assert sweep.tracker.run_id == parent.info.run_id
    records = [sweep.study.record(key) for key in (0, "0.seed-1", 1, 2)]
    for run, record in zip(nested, records, strict=True):
        assert run.info.status == {State.FINISHED: "FINISHED", State.STOPPED: "KILLED"}[record.state]
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert run.data.tags["transfersweep.state"] == record.state.value
        assert run.data.tags["transfersweep.role"] == record.role
        assert run.data.params == {name: str(value) for name, value in record.params.items()}
        assert run.data.metrics["score"] == record.value
        assert run.data.metrics["target.validation.macro_f1"] == record.value


def lose_file(sweep: Sweep) -> None:
    sweep.file.unlink()


def lose_tables(sweep: Sweep) -> None:
    """Replace the file by an empty one, as some users do to start again."""
    sweep.file.unlink()
    sweep.file.touch()


def lose_experiment(sweep: Sweep) -> None:
    experiment = sweep.client.get_experiment_by_name(EXPERIMENT)
    assert experiment
    sweep.client.delete_experiment(experiment.experiment_id)


def lose_experiment_for_good(sweep: Sweep) -> None:
    """Delete the experiment as `mlflow gc` does."""
    experiment = sweep.client.get_experiment_by_name(EXPERIMENT)
    assert experiment
    sweep.client.delete_experiment(experiment.experiment_id)
    SqlAlchemyStore(sweep.uri, "unused")._hard_delete_experiment(experiment.experiment_id)


def lose_sweep_run(sweep: Sweep) -> None:
    sweep.client.delete_run(sweep.run("tiny"))


def lose_ended_trial(sweep: Sweep) -> None:
    sweep.client.delete_run(sweep.run("trial-000"))


def lose_running_trial(sweep: Sweep) -> None:
    sweep.client.delete_run(sweep.run("trial-002"))


def lose_repeat(sweep: Sweep) -> None:
    sweep.client.delete_run(sweep.run("trial-000.seed-1"))


LOSSES = [
    lose_file,
    lose_tables,
    lose_experiment,
    lose_experiment_for_good,
    lose_sweep_run,
    lose_ended_trial,
    lose_running_trial,
    lose_repeat,
]


@pytest.mark.parametrize("lose", LOSSES)
def test_runs_lost_while_a_sweep_runs_are_created_again(lose: Lose, sweep: Sweep) -> None:
    sweep.begin_session()
    lose(sweep)
    sweep.go_on()
    assert_all_is_there(sweep)


@pytest.mark.parametrize("lose", [lose_file, lose_experiment_for_good, lose_sweep_run, lose_ended_trial])
def test_runs_lost_between_two_sessions_are_created_again(lose: Lose, sweep: Sweep) -> None:
    lose(sweep)
    sweep.begin_session()
    sweep.go_on()
    assert_all_is_there(sweep)


def test_without_a_loss_nothing_is_replayed(sweep: Sweep) -> None:
    before = [run.info.run_id for run in sweep.shown()]
    sweep.begin_session()
    sweep.go_on()
    assert_all_is_there(sweep)
    assert [run.info.run_id for run in sweep.shown()] == before
    curve = sweep.client.get_metric_history(sweep.run("trial-000"), "target.validation.macro_f1")
    assert [(point.step, point.value) for point in curve] == [(10, 0.75), (20, 0.375), (20, 0.75)]
