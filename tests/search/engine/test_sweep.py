"""Complete sweeps on a real Ray cluster on this machine, also interrupted ones, and what they leave on disk."""

import copy
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import psutil
import pytest
import torch
from mlflow import MlflowClient
from mlflow.entities import Run
from optuna.trial import FrozenTrial, TrialState
from yaml_text import dump_yaml

from search.engine.start import extend_sweep, resume_sweep, start_sweep
from search.export.export import export_trial
from search.export.exportable import choose
from search.plan.plan import PlanError, build_plan, load_sweep
from search.record.records import Outcome, State, TrialRecord
from search.record.trial_names import trial_name
from search.show.current import current_outcome
from search.storage.store_uri import default_uri, sqlite_uri
from search.storage.sweep_folder import SweepFolder
from search.study.selection import best_finalist, pick_exported_trial
from trainable.errors import ConfigError
from trainable.progress import Report
from trainable.store.checksums import verify_checksums
from trainable.trial import run_trial

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]

Run_ = Callable[..., Outcome]


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One storage folder for all sweeps of this file, as a user has it."""
    return tmp_path_factory.mktemp("storage") / "runs"


@pytest.fixture
def sweep(blocks: dict[str, Any], storage: Path) -> Run_:
    """Runs a sweep in the storage folder."""

    def run(
        name: str, space: dict[str, Any] | None = None, target: dict[str, Any] | None = None, **settings: Any
    ) -> Outcome:
        changed = copy.deepcopy(blocks)
        changed["sweep"] |= {"name": name, **settings}
        changed["space"] = changed["space"] if space is None else space
        changed["trial"]["target"] |= target or {}
        return start_sweep(build_plan(changed, (Path(),), name), storage)

    return run


def study(folder: SweepFolder) -> list[FrozenTrial]:
    """Return the search trials from Optuna."""
    return optuna.load_study(storage=sqlite_uri(folder.study), study_name=folder.name).trials


def repeats(folder: SweepFolder) -> list[FrozenTrial]:
    """Return the repeats of the finalists, which are in a second study."""
    storage, name = sqlite_uri(folder.study), f"{folder.name}: repeats"
    there = name in optuna.get_all_study_names(storage)
    return optuna.load_study(storage=storage, study_name=name).trials if there else []


def runs(folder: SweepFolder) -> tuple[list[Run], list[Run]]:
    """Return the sweep's MLflow runs, and those of its trials: the search by number, then the repeats by start time."""
    client = MlflowClient(default_uri(folder.storage))
    found = client.search_runs(["1"], f"tags.`transfersweep.sweep` = '{folder.name}'", max_results=1000)
    nested = [run for run in found if "mlflow.parentRunId" in run.data.tags]
    parents = [run for run in found if "mlflow.parentRunId" not in run.data.tags]
    searched = [run for run in nested if run.data.tags["transfersweep.role"] == "search"]
    again = [run for run in nested if run.data.tags["transfersweep.role"] != "search"]
    searched.sort(key=lambda run: int(run.data.tags["transfersweep.trial"]))
    return parents, [*searched, *sorted(again, key=lambda run: run.info.start_time)]


STATUS = {State.FINISHED: "FINISHED", State.STOPPED: "KILLED", State.FAILED: "FAILED", State.LOST: "FAILED"}
IN_STUDY = {
    State.FINISHED: TrialState.COMPLETE,
    State.STOPPED: TrialState.PRUNED,
    State.FAILED: TrialState.FAIL,
    State.LOST: TrialState.FAIL,
}


def assert_all_agree(folder: SweepFolder, outcome: Outcome) -> None:
    """Outcome, study and MLflow agree, without duplicates and without running trials."""
    assert outcome.complete
    assert [t.number for t in study(folder)] == [r.number for r in outcome.searched]
    trials = study(folder) + repeats(folder)
    assert [t.state for t in trials] == [IN_STUDY[r.state] for r in outcome.trials]
    assert [t.params for t in trials] == [r.params for r in outcome.trials]
    (parent,), nested = runs(folder)
    assert parent.info.status == "FINISHED"
    assert parent.info.run_id == outcome.run_id
    assert [run.info.status for run in nested] == [STATUS[r.state] for r in outcome.trials]
    assert {run.data.tags["mlflow.parentRunId"] for run in nested} <= {outcome.run_id}
    marks = [" (winner)" if r.role == "search" and r.number == outcome.winner else "" for r in outcome.trials]
    assert [run.info.run_name for run in nested] == [
        trial_name(r.key) + mark for r, mark in zip(outcome.trials, marks, strict=True)
    ]
    for run, record in zip(nested, outcome.trials, strict=True):
        scores = {"score": record.value, **record.metrics}
        assert {name: run.data.metrics.get(name) for name in scores} == scores


def numbers(record: TrialRecord) -> tuple[Any, ...]:
    """Return what must be equal for equal settings; only the trial that trained a source has the source's scores."""
    scores = {name: value for name, value in record.metrics.items() if name.startswith("target.")}
    return record.params, record.role, record.number, record.seed, record.state, record.value, scores


@pytest.mark.slow
def test_from_a_plan_to_a_winner(sweep: Run_, storage: Path) -> None:
    outcome = sweep("whole")
    folder = SweepFolder(storage, "whole")
    assert_all_agree(folder, outcome)
    assert [r.role for r in outcome.trials[:3]] == ["search"] * 3
    assert outcome.trials[0].params == {"source.enabled": True, "target.learning_rate": 1e-3, "target.epochs": 2}
    assert {r.role for r in outcome.trials[3:]} >= {"confirm"}
    assert outcome.winner is not None or outcome.winning_baseline is not None
    assert outcome.test is not None
    assert outcome.test.rows == sum(line.rows for line in outcome.test.per_class) > 0
    assert outcome.test.low <= outcome.test.metrics["macro_f1"] <= outcome.test.high
    assert outcome.comparison is not None
    assert current_outcome("whole", storage) == outcome
    assert "The winner" in folder.report.read_text(encoding="utf-8")
    client = MlflowClient(default_uri(storage))
    artifacts = {each.path for each in client.list_artifacts(str(outcome.run_id))}
    assert artifacts == {"outcome.json", "settings.json", "report.html"}

    (parent,), nested = runs(folder)
    assert parent.data.params["sweep.trials"] == "3"
    assert parent.data.metrics["winner.test.macro_f1"] == outcome.test.metrics["macro_f1"]
    assert sorted(i.tags[0].value for i in parent.inputs.dataset_inputs) == ["source", "target"]
    assert {i.dataset.name for i in parent.inputs.dataset_inputs} == {"films", "tweets"}
    first = nested[0].data
    assert first.params["target.learning_rate"] == "0.001"
    assert set(first.params) == set(outcome.trials[0].params)  # what is fixed is not repeated in every run
    everything = json.loads(Path(client.download_artifacts(str(outcome.run_id), "settings.json")).read_text())
    assert everything["all"]["target.padding_length"] == 16
    assert {"source.validation.macro_f1", "target.validation.macro_f1", "target.zero_shot.loss"} <= set(first.metrics)
    assert nested[3].data.tags["transfersweep.role"] == "confirm"

    with pytest.raises(PlanError, match="holds the same experiment"):
        sweep("whole")

    client = MlflowClient(default_uri(storage))
    for lost in (parent, nested[0]):
        client.delete_run(lost.info.run_id)
    resumed = resume_sweep("whole", storage)
    assert resumed == replace(outcome, run_id=resumed.run_id)
    assert resumed.run_id != outcome.run_id
    assert_all_agree(folder, resumed)
    assert runs(folder)[0][0].data.metrics["winner.test.macro_f1"] == outcome.test.metrics["macro_f1"]


@pytest.mark.slow
def test_the_same_sweep_twice_is_the_same(sweep: Run_) -> None:
    settings = {"max_concurrent": 1, "trials": 5, "seed": 3, "finalists": 2}
    first, second = sweep("first", **settings), sweep("second", **settings)
    assert [numbers(r) for r in first.trials] == [numbers(r) for r in second.trials]
    assert (first.winner, first.exported, first.validation) == (second.winner, second.exported, second.validation)
    assert first.test == second.test


@pytest.mark.slow
def test_a_configuration_that_diverges_fails_alone(sweep: Run_, storage: Path) -> None:
    rates = [1e-3, 10.0, 1e-4]
    wild = {"optimizer": "sgd", "weight_decay": 10, "gradient_clip": None, "batch_size": 2, "epochs": 9}
    outcome = sweep(
        "diverging",
        {"target.learning_rate": {"choice": rates}, "source.enabled": {"choice": [False]}},
        wild,
        confirm_seeds=0,
        scheduler="none",
        start_with=[{"target.learning_rate": rate} for rate in rates],
    )
    folder = SweepFolder(storage, "diverging")
    assert_all_agree(folder, outcome)
    failed = outcome.trials[1]
    assert [r.state for r in outcome.trials] == [State.FINISHED, State.FAILED, State.FINISHED]
    assert "loss is" in str(failed.error)
    assert study(folder)[1].user_attrs["facts"]["error"] == failed.error
    assert runs(folder)[1][1].data.tags["transfersweep.error"] == failed.error


@pytest.mark.slow
def test_a_promoted_trial_has_the_result_of_an_uninterrupted_trial(sweep: Run_, storage: Path) -> None:
    # Too far apart for dropout or rounding to change their order: the first is best, and the second must wait for
    # those that diverge.
    rates = [1e-6, 1e-3, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]
    outcome = sweep(
        "promoting",
        {"target.learning_rate": {"choice": rates}, "source.enabled": {"choice": [False]}},
        {"epochs": 4},
        trials=len(rates),
        scheduler="promotion",
        metric="loss",
        max_concurrent=1,
        start_with=[{"target.learning_rate": rate} for rate in rates],
        checkpoint_seconds=1e6,
        confirm_seeds=0,
    )
    folder = SweepFolder(storage, "promoting")
    assert_all_agree(folder, outcome)
    folders = [path.name.split("-")[1] for path in folder.path.glob("tune-*/trial-*")]
    promoted = [r for r in outcome.trials if folders.count(f"{r.number:03d}") > 1]
    assert any(r.state is State.FINISHED for r in promoted)
    assert any(r.state is State.STOPPED for r in outcome.trials)
    plan = load_sweep(folder)
    torch.set_num_threads(plan.settings.threads)  # sums depend on how they are split
    for record in promoted:
        config = plan.config(record.params, **{"target.evaluate_at": (0.25, 0.5)})
        until = record.progress

        def hear(report: Report, until: float = until) -> bool:
            return report.progress < until

        result = run_trial(config, hear, workspace=plan.workspace(storage))
        assert (result.value, result.metrics) == (record.value, record.metrics)
    left = {str(path.relative_to(folder.path)) for path in folder.path.glob("tune-*/trial-*/checkpoint_*")}
    assert left <= {record.checkpoint for record in outcome.trials if record.has_model}


@pytest.mark.slow
def test_minutes_end_a_sweep_in_good_order(sweep: Run_, storage: Path, tmp_path: Path) -> None:
    outcome = sweep("minutes", trials=10_000, minutes=0.5, confirm_seeds=0, scheduler="none")
    assert_all_agree(SweepFolder(storage, "minutes"), outcome)
    assert len(outcome.trials) < 10_000
    assert "before the budget was used up" in outcome.notes[0]
    # On a busy machine, perhaps no trial has been evaluated, or begun; a baseline is the winner then.
    assert outcome.winner is not None or outcome.winning_baseline is not None
    assert choose("minutes", storage, tmp_path / "model").checkpoint.is_dir()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_trials_of_two_workers(sweep: Run_, storage: Path) -> None:
    if (os.cpu_count() or 1) < 2:
        pytest.skip("needs two CPUs")
    alone = sweep("alone", trials=2, confirm_seeds=0, max_concurrent=1, target={"dropout": 0.0})
    together = sweep("together", trials=2, confirm_seeds=0, workers_per_trial=2, target={"dropout": 0.0})
    assert_all_agree(SweepFolder(storage, "together"), together)
    assert [r.params for r in together.trials] == [r.params for r in alone.trials]
    first, same = alone.trials[0].metrics, together.trials[0].metrics
    assert same["target.validation.loss"] == pytest.approx(first["target.validation.loss"], rel=1e-3)


@pytest.mark.slow
def test_a_finished_sweep_is_extended_again_and_again(sweep: Run_, storage: Path) -> None:
    """Earlier trials stay, a failed start changes nothing, and `resume` continues a killed extension."""
    space = {"target.epochs": {"int": [1, 5]}}
    first = sweep("longer", space, trials=2, confirm_seeds=0, scheduler="none", max_concurrent=1, start_with=[])
    folder = SweepFolder(storage, "longer")
    with pytest.raises(ConfigError):
        resume_sweep("longer", storage, None, {"sweep.trials": "9", "sweep.tracking_uri": "sqlite:////proc/no/such.db"})
    assert current_outcome("longer", storage) == first
    second = extend_sweep("longer", storage, 1)
    folder.outcome.unlink()  # as a killed extension leaves it
    assert resume_sweep("longer", storage).trials == second.trials
    third = extend_sweep("longer", storage, 2)
    assert_all_agree(folder, third)
    searched = [[r for r in outcome.trials if r.role == "search"] for outcome in (first, second, third)]
    assert [len(trials) for trials in searched] == [2, 3, 5]
    assert (searched[2][:2], searched[2][:3]) == (searched[0], searched[1])
    assert sorted(r.params["target.epochs"] for r in searched[2]) == [1, 2, 3, 4, 5]
    assert third.budget.trials == 5
    fourth = extend_sweep("longer", storage, 5)
    assert [r for r in fourth.trials if r.role == "search"] == searched[2]
    assert fourth.notes == ("every point of the space has been tried, in 5 of sweep.trials = 10 trials",)


@pytest.mark.slow
def test_the_command_trains_the_first_source_before_any_trial(blocks: dict[str, Any], tmp_path: Path) -> None:
    """The results are the same as if a trial trains it."""
    points = [{"source.enabled": True, "target.learning_rate": rate} for rate in (1e-3, 1e-2)]
    blocks["sweep"] |= {"name": "ahead", "trials": 2, "start_with": points, "confirm_seeds": 0, "scheduler": "none"}
    file, storage = tmp_path / "ahead.yaml", tmp_path / "runs"
    file.write_text(dump_yaml(blocks), encoding="utf-8")
    command = [sys.executable, "-m", "search", "run", str(file), "--storage", str(storage)]
    subprocess.run(command, check=True, capture_output=True)
    ahead = current_outcome("ahead", storage)
    alone = start_sweep(build_plan(blocks, (Path(),), "ahead"), tmp_path / "alone")
    assert [numbers(record) for record in ahead.trials] == [numbers(record) for record in alone.trials]
    assert not any("source.train" in record.times for record in ahead.trials)
    assert any("source.train" in record.times for record in alone.trials)


@pytest.mark.slow
def test_a_new_sweep_starts_from_an_old_one(sweep: Run_, storage: Path) -> None:
    space = {"target.learning_rate": {"float": [1e-4, 1e-2], "log": True}}
    old = sweep("older", space, trials=3, confirm_seeds=0, scheduler="none", start_with=[])
    new = sweep("newer", space, {"epochs": 2}, trials=2, confirm_seeds=0, start_with=[], start_from="older")
    assert_all_agree(SweepFolder(storage, "newer"), new)
    assert [r.number for r in new.trials if r.role == "search"] == [0, 1]
    assert not {r.params["target.learning_rate"] for r in new.trials[:2]} & {
        r.params["target.learning_rate"] for r in old.trials
    }
    assert "the sampler learnt from 3 of the 3 ended trials of older" in new.notes[0]
    assert "target.epochs: 3 there, 2 here" in new.notes[0]


@pytest.mark.slow
def test_the_stages_of_a_chain_are_switched_on_and_off(blocks: dict[str, Any], storage: Path) -> None:
    changed, stage = copy.deepcopy(blocks), blocks["trial"]["source"]
    names, rates = ("sources.first.enabled", "sources.second.enabled"), {"target.learning_rate": 1e-3}
    points = [{**dict(zip(names, on, strict=True)), **rates} for on in ((True, True), (False, True), (True, False))]
    changed["sweep"] |= {"name": "chain", "start_with": points, "max_concurrent": 1}
    del changed["trial"]["source"]
    changed["trial"]["sources"] = {"first": stage, "second": {**stage, "learning_rate": 2e-3}}
    changed["space"] = {name: {"choice": [True, False]} for name in names} | {
        "target.learning_rate": blocks["space"]["target.learning_rate"]
    }
    outcome = start_sweep(build_plan(changed, (Path(),), "chain"), storage)
    folder = SweepFolder(storage, "chain")
    assert_all_agree(folder, outcome)
    logged = [[run.data.params[name] for name in names] for run in runs(folder)[1][:3]]
    assert logged == [["True", "True"], ["False", "True"], ["True", "False"]]
    trained = [{part for part in record.times if part.endswith(".train")} for record in outcome.trials[:3]]
    assert trained[0] == {"sources.first.train", "sources.second.train", "target.train"}
    assert trained[2] == {"target.train"}  # its first stage is in the cache
    assert outcome.comparison
    for stage in ("sources.first", "sources.second"):
        assert any(f"the source {stage!r}" in note.lower() for note in outcome.notes)
    without = [record.params for record in outcome.trials if record.role == "no_source"]
    assert without == [{**rates, **dict.fromkeys(names, False)}] * 2


class Started:
    """A sweep in its own process: one short trial, then a long one."""

    def __init__(self, name: str, blocks: dict[str, Any], storage: Path, tmp_path: Path, **settings: Any) -> None:
        self.folder = SweepFolder(storage, name)
        point = {"source.enabled": False, "target.learning_rate": 1e-3}
        blocks["sweep"] |= {"name": name, "trials": 2, "confirm_seeds": 0, "scheduler": "none", "max_concurrent": 1}
        blocks["sweep"] |= {"start_with": [point | {"target.epochs": n} for n in (1, 80)], **settings}
        blocks["space"]["target.epochs"] = {"int": [1, 80]}
        file = tmp_path / "cut.yaml"
        file.write_text(dump_yaml(blocks), encoding="utf-8")
        command = [sys.executable, "-m", "search", "run", str(file), "--storage", str(storage), "--json"]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, start_new_session=True, stdout=pipe, stderr=pipe, text=True)

    def second_trial(self) -> dict[str, Any]:
        trials = study(self.folder) if any(self.folder.path.glob("tune-*")) else []
        return trials[1].user_attrs.get("facts", {}) if len(trials) == 2 else {}

    def wait_for(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 150
        while not condition():
            assert self.process.poll() is None, "the sweep ended too soon"
            assert time.monotonic() < deadline
            time.sleep(0.3)

    def send(self, sign: int) -> None:
        """Signal all its processes, as a terminal does for Ctrl-C, but only the driver with SIGTERM, as `kill` does."""
        (os.kill if sign == signal.SIGTERM else os.killpg)(self.process.pid, sign)

    def end(self, seconds: float = 90) -> tuple[str, str]:
        try:
            return self.process.communicate(timeout=seconds)
        finally:
            if self.process.poll() is None:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.communicate()


def assert_continues(folder: SweepFolder) -> None:
    """The first trial stays unchanged, the second one continues, each in its one MLflow run."""
    before = current_outcome(folder.name, folder.storage)
    assert not before.complete
    assert [r.state for r in before.trials] == [State.FINISHED, State.RUNNING]
    _, nested = runs(folder)
    outcome = resume_sweep(folder.name, folder.storage)
    assert_all_agree(folder, outcome)
    assert outcome.trials[0] == before.trials[0]
    assert [r.state for r in outcome.trials] == [State.FINISHED, State.FINISHED]
    assert outcome.trials[1].progress >= before.trials[1].progress
    assert [run.info.run_id for run in runs(folder)[1]] == [run.info.run_id for run in nested]
    assert resume_sweep(folder.name, folder.storage) == outcome
    left = sorted(folder.path.glob("tune-*/trial-*/checkpoint_*"))
    assert left == sorted(folder.path / str(record.checkpoint) for record in outcome.trials)


@pytest.mark.slow
@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_sweep_continues(
    sign: signal.Signals, blocks: dict[str, Any], storage: Path, tmp_path: Path
) -> None:
    """A killed sweep continues from its last checkpoint; Ctrl-C and SIGTERM let it write a checkpoint first."""
    seldom = 0.2 if sign == signal.SIGKILL else 1e6
    sweep = Started(f"cut-{sign.name.lower()}", blocks, storage, tmp_path, checkpoint_seconds=seldom)
    field = "checkpoint" if sign == signal.SIGKILL else "progress"
    try:
        sweep.wait_for(lambda: bool(sweep.second_trial().get(field)))
        assert bool(sweep.second_trial().get("checkpoint")) == (sign == signal.SIGKILL)
        sweep.send(sign)
    finally:
        stdout, stderr = sweep.end()
    if sign != signal.SIGKILL:
        assert sweep.process.returncode == 0
        assert json.loads(stdout)["complete"] is False
        assert "Stopping: running trials write a checkpoint" in stderr
        assert f"transfersweep resume {sweep.folder.name}" in stdout
    checkpoint = sweep.folder.path / sweep.second_trial()["checkpoint"]
    verify_checksums(checkpoint)
    assert json.loads((checkpoint / "progress.json").read_text())["step"] > 0
    if sign == signal.SIGKILL:  # first a copy in another place, then the sweep itself
        copied = SweepFolder(tmp_path / "copied? 50%25 #", sweep.folder.name)
        shutil.copytree(storage, copied.storage)
        assert_continues(copied)
    assert_continues(sweep.folder)


@pytest.mark.slow
def test_a_second_interrupt_waits_for_nothing(blocks: dict[str, Any], storage: Path, tmp_path: Path) -> None:
    # An epoch of thousands of steps: the next report is far away.
    blocks["trial"]["target"] |= {"batch_size": 1, "padding_length": 64}
    sweep = Started("twice", blocks, storage, tmp_path, checkpoint_seconds=1e6)
    try:
        sweep.wait_for(lambda: bool(sweep.second_trial().get("progress")))
        sweep.send(signal.SIGINT)
        sweep.send(signal.SIGINT)
    finally:
        stdout, _ = sweep.end()
    assert json.loads(stdout)["complete"] is False
    assert current_outcome("twice", storage).trials[1].state is State.RUNNING


@pytest.mark.slow
@pytest.mark.parametrize("left", [16 * 2**20, 0], ids=["nearly full", "full"])
@pytest.mark.parametrize("tiny_disk", [96], indirect=True)
def test_a_full_disk_ends_the_sweep_in_a_sentence(
    left: int, blocks: dict[str, Any], tiny_disk: Path, tmp_path: Path
) -> None:
    sweep = Started("full", blocks, tiny_disk / "runs", tmp_path, checkpoint_seconds=0.2)
    ballast = tiny_disk / "ballast"
    try:
        sweep.wait_for(lambda: bool(sweep.second_trial().get("checkpoint")))
        with suppress(OSError), ballast.open("wb", buffering=0) as file:
            while shutil.disk_usage(tiny_disk).free > left:
                file.write(bytes(2**16))
    finally:
        stdout, stderr = sweep.end()
    assert sweep.process.returncode == 1
    last = stderr.strip().splitlines()[-1]
    assert "the disk is full or nearly full" in last
    assert last.endswith(f"then `transfersweep resume full --storage {tiny_disk / 'runs'}`") or not left
    assert "Traceback" not in stderr
    ballast.unlink()
    assert_continues(sweep.folder)


@pytest.mark.slow
def test_a_hung_trial_is_ended_and_the_next_one_runs(blocks: dict[str, Any], storage: Path, tmp_path: Path) -> None:
    settings = {"hang_minutes": 0.1, "trials": 3, "checkpoint_seconds": 0.2}
    sweep = Started("hung", blocks, storage, tmp_path, **settings)

    def slots() -> list[psutil.Process]:
        """Return the trial's process; for a moment it may have no name."""
        below = psutil.Process(sweep.process.pid).children(recursive=True)
        return [process for process in below if "Trainable" in " ".join(process.cmdline())]

    try:
        sweep.wait_for(lambda: bool(sweep.second_trial().get("checkpoint")))
        sweep.wait_for(lambda: any(process.suspend() is None for process in slots()))
    finally:
        stdout, _ = sweep.end(240)
    outcome = json.loads(stdout)
    assert outcome["complete"]
    assert [trial["state"] for trial in outcome["trials"]] == ["finished", "lost", "finished"]
    assert outcome["trials"][1]["error"].startswith("no report for 0.1 minutes (sweep.hang_minutes)")


@pytest.mark.slow
def test_only_the_best_models_are_kept(sweep: Run_, storage: Path) -> None:
    outcome = sweep("kept", trials=6, keep_best=2, finalists=1, confirm_seeds=1, scheduler="none")
    folder = SweepFolder(storage, "kept")
    assert_all_agree(folder, outcome)
    left = {r.key for r in outcome.trials if r.checkpoint and (folder.path / r.checkpoint).exists()}
    searched = sorted(outcome.searched, key=lambda r: (-(r.value or 0.0), r.metrics["target.validation.loss"]))
    assert {r.number for r in searched[:2]} <= left
    plan = load_sweep(folder)
    best = best_finalist(plan, outcome.trials)  # of the search; a baseline may be better
    assert best is not None
    assert pick_exported_trial(plan, outcome.trials, best).key in left
    assert len(left) < len(outcome.trials)
    gone = next(r.number for r in searched if r.number not in left)
    with pytest.raises(ConfigError, match=r"model .* is gone; a sweep keeps .* sweep.keep_best"):
        export_trial(choose("kept", storage, storage / "model", gone))


@pytest.mark.slow
@pytest.mark.parametrize("process", ["raylet", "gcs_server"])
def test_a_ray_that_dies_ends_the_sweep_in_a_sentence(
    process: str, blocks: dict[str, Any], storage: Path, tmp_path: Path
) -> None:
    sweep = Started(f"without-{process.partition('_')[0]}", blocks, storage, tmp_path, checkpoint_seconds=0.2)
    try:
        sweep.wait_for(lambda: bool(sweep.second_trial().get("checkpoint")))
        (victim,) = (p for p in psutil.Process(sweep.process.pid).children() if p.name() == process)
        victim.kill()
    finally:
        _, stderr = sweep.end()
    assert sweep.process.returncode == 1
    assert "Traceback" not in stderr
    assert "has died" in stderr
    assert f"`{sweep.folder.command('resume')}`" in stderr
    assert current_outcome(sweep.folder.name, storage).trials[1].state is State.RUNNING  # a resume continues it
