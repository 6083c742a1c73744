"""The trial in Ray: the same numbers from one worker and from two, slots and groups that outlive their trials."""

import copy
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from ray import tune
from ray.tune.result import SHOULD_CHECKPOINT
from ray.tune.utils import flatten_dict

from search.cluster.local_ray import LocalRay
from search.cluster.ray_internals import reload_token
from trainable.checkpoint import load_trained
from trainable.errors import TrialError
from trainable.progress import Report
from trainable.settings.config import build_config
from trainable.trial import run_trial
from trainable.workers.actor import GroupRunner, TuneTrial
from trainable.workers.messages import Resources, TrialReport, TrialTask, read_result
from trainable.workspace import Workspace

ONE = Resources(count=1, cpus=1, gpus=0, threads=1)
TWO = replace(ONE, count=2)
WILD = {"optimizer": "sgd", "learning_rate": 10, "weight_decay": 10, "batch_size": 2, "gradient_clip": None}


def _settings(base: dict[str, Any], source: bool = False, **target: Any) -> dict[str, Any]:
    settings = copy.deepcopy(base) | {"micro_batches": 2}
    settings["source"]["enabled"] = source
    settings["target"] |= {"dropout": 0.1, **target}
    return settings


def _tune_config(trial: dict[str, Any], **further: Any) -> dict[str, Any]:
    return replace(TrialTask(0, trial, compare=True, resume=None, checkpoint_seconds=1e9), **further).to_config()


def _alone(settings: dict[str, Any], cache: Path) -> list[Report]:
    reports: list[Report] = []
    run_trial(build_config(settings), lambda r: reports.append(r) is None, workspace=Workspace(cache))
    return reports


# One slot, without a cluster ----------------------------------------------------------------------------------------


@pytest.fixture
def slot(workspace: Workspace) -> type[TuneTrial]:
    """The trainable with its workspace bound, as `tune.with_parameters` does it."""

    class Slot(TuneTrial):
        def setup(self, config: dict[str, Any]) -> None:
            super().setup(config, workspace, ONE)

    return Slot


def _to_end(trial: TuneTrial) -> list[dict[str, Any]]:
    results = [trial.train()]
    while not results[-1]["done"]:
        results.append(trial.train())
    return results


def test_a_slot_says_what_the_trial_says(slot: type[TuneTrial], base: dict[str, Any], tmp_path: Path) -> None:
    settings = _settings(base, source=True, epochs=3)
    expected = _alone(settings, tmp_path / "alone")
    results = _to_end(slot(_tune_config(settings)))
    assert [r["metrics"] for r in results] == [r.metrics for r in expected]
    assert [r["stage"] for r in results] == ["source"] * 2 + ["target"] * 4
    assert [r["source_ready"] for r in results] == [False, True] + [False] * 4
    assert [r["progress"] for r in results] == [0, 0, 0, *(pytest.approx(100 * part / 3) for part in (1, 2, 3))]
    assert [r["finished"] for r in results] == [False] * 5 + [True]
    scores = [r.metrics.get("target.validation.macro_f1") for r in expected]
    values = [r.get("value") for r in results]
    assert values == [None if s is None else max(scores[3 : i + 1]) for i, s in enumerate(scores)]
    said = [read_result(flatten_dict(r)) for r in results]  # as Tune hands them on
    assert said == [read_result(r) for r in results]
    assert [(s.stage, s.stage_step, s.metrics) for s in said if isinstance(s, TrialReport)] == [
        (r.stage, r.step, r.metrics) for r in expected
    ]


def test_what_may_not_be_compared_shows_no_progress(slot: type[TuneTrial], base: dict[str, Any]) -> None:
    assert {r["progress"] for r in _to_end(slot(_tune_config(_settings(base), compare=False)))} == {0}


def test_a_slot_takes_the_next_trial_after_a_stop_and_after_an_error(
    slot: type[TuneTrial], base: dict[str, Any]
) -> None:
    first, second = _settings(base, source=True), _settings(base, source=True, learning_rate=5e-4)
    trial = slot(_tune_config(first))
    trial.train()  # stopped in the source stage, whose lease it holds
    assert trial.reset(_tune_config(second))
    after_stop = [r["metrics"] for r in _to_end(trial)]
    assert trial.reset(_tune_config(_settings(base, **WILD, epochs=9)))
    (*_, error) = _to_end(trial)
    assert "loss is" in error["error"]
    assert trial.reset(_tune_config(_settings(base, frozen_layers=9)))
    (wrong,) = _to_end(trial)
    assert "target.frozen_layers: 9 is more than the 3 layers" in wrong["error"]
    assert trial.reset(_tune_config(second))
    (cached, *target) = _to_end(trial)
    assert (cached["stage"], cached["stage_step"]) == ("source", 0)  # its source is trained: the scores alone
    assert [r["metrics"] for r in target] == after_stop[2:]


@pytest.fixture
def broken_encoder(tiny_bert: str, tmp_path: Path) -> str:
    """An encoder whose configuration is found wrong only when a batch goes through."""
    folder = shutil.copytree(tiny_bert, tmp_path / "broken")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"chunk_size_feed_forward": 4}))
    return str(folder)


def test_an_exception_of_any_kind_ends_its_trial_alone(
    slot: type[TuneTrial], base: dict[str, Any], broken_encoder: str
) -> None:
    trial = slot(_tune_config(_settings(base | {"encoder": broken_encoder})))
    (result,) = _to_end(trial)
    assert result["error"].startswith("ValueError: ")
    assert "chunk" in result["error"]
    assert trial.reset(_tune_config(_settings(base)))
    assert _to_end(trial)[-1]["finished"]


def test_checkpoints_are_asked_for_in_every_trial_of_a_slot(slot: type[TuneTrial], base: dict[str, Any]) -> None:
    trial = slot(_tune_config(_settings(base, epochs=3), checkpoint_seconds=0))
    for _ in range(2):
        assert [r.get(SHOULD_CHECKPOINT, False) for r in _to_end(trial)] == [False, True, True]
        trial.reset(_tune_config(_settings(base, epochs=3), checkpoint_seconds=0))
    trial.reset(_tune_config(_settings(base, epochs=3)))
    assert [r.get(SHOULD_CHECKPOINT, False) for r in _to_end(trial)] == [False, False, True]


def test_a_checkpoint_is_on_the_disk_when_it_appears(
    slot: type[TuneTrial], base: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: set[int] = set()
    before_it_appeared: set[int] = set()

    def replace(source: Path, target: Path) -> None:
        before_it_appeared.update(flushed)
        os.rename(source, target)

    monkeypatch.setattr("trainable.store.files.os.fsync", lambda descriptor: flushed.add(os.fstat(descriptor).st_ino))
    monkeypatch.setattr("trainable.store.files.os.replace", replace)
    trial = slot(_tune_config(_settings(base)))
    trial.train()
    trial.save(str(tmp_path / "checkpoint"))
    files = [*(tmp_path / "checkpoint").iterdir(), tmp_path / "checkpoint"]
    assert len(files) > 3
    assert {path.stat().st_ino for path in files} <= before_it_appeared
    assert tmp_path.stat().st_ino in flushed


def test_a_dead_trial_goes_on_in_another_slot(slot: type[TuneTrial], base: dict[str, Any], tmp_path: Path) -> None:
    config = _tune_config(_settings(base, epochs=6, learning_rate=3e-3))
    whole = [(r["metrics"], r["value"]) for r in _to_end(slot(copy.deepcopy(config)))]
    for stop in (1, 3, 5):
        dead, other = slot(copy.deepcopy(config)), slot(copy.deepcopy(config))
        for _ in range(stop):
            dead.train()
        dead.save(str(tmp_path / str(stop)))
        other.restore(str(tmp_path / str(stop)))
        assert [(r["metrics"], r["value"]) for r in _to_end(other)] == whole[stop:]


def test_a_trial_whose_checkpoint_is_damaged_starts_again(
    slot: type[TuneTrial], base: dict[str, Any], tmp_path: Path
) -> None:
    config = _tune_config(_settings(base, epochs=3))
    whole = [(r["metrics"], r["value"]) for r in _to_end(slot(copy.deepcopy(config)))]
    dead = slot(copy.deepcopy(config))
    dead.train()
    dead.save(str(tmp_path / "half"))
    file = tmp_path / "half" / "optimizer.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    restored = slot(copy.deepcopy(config))
    restored.restore(str(tmp_path / "half"))
    resumed = slot(config | {"resume": str(tmp_path / "half")})
    for trial in (restored, resumed):
        assert [(r["metrics"], r["value"]) for r in _to_end(trial)] == whole


# A cluster on this machine ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """Two CPUs, so that a trial that keeps its resources starves the next, and a GPU that Ray believes in."""
    variables = {"OMP_NUM_THREADS": "1", "RAY_TRAIN_V2_ENABLED": "1", "CUDA_VISIBLE_DEVICES": ""}
    arguments = {"num_cpus": 2, "num_gpus": 1, "runtime_env": {"env_vars": variables}}
    local = LocalRay(arguments, {}, dashboard=True)
    local.wait(print)
    yield
    local.end()
    reload_token()


def _group_reports(group: GroupRunner, settings: dict[str, Any], resume: Path | None = None) -> list[Report]:
    group.start(settings, resume)
    reports = [group.next_report()]
    while not (reports[-1].last and reports[-1].stage == "target"):
        reports.append(group.next_report())
    return reports


def _assert_same(ours: list[Report], theirs: list[Report]) -> None:
    assert [(r.stage, r.step, r.last) for r in ours] == [(r.stage, r.step, r.last) for r in theirs]
    for one, other in zip(ours, theirs, strict=True):
        assert one.metrics == pytest.approx(other.metrics, rel=1e-5, abs=1e-6)


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_two_workers_are_one(cluster: None, base: dict[str, Any], tmp_path: Path, broken_encoder: str) -> None:
    """One group through all it can meet: a whole trial, a stop, errors, a checkpoint, a resume, the end."""
    first = _settings(base, source=True, epochs=3)
    second = _settings(base, epochs=2, batch_size=7, learning_rate=5e-4)  # batches that do not halve
    group = GroupRunner(Workspace(tmp_path / "group"), TWO)
    expected = _alone(first, tmp_path / "alone")
    _assert_same(_group_reports(group, first), expected)
    (tmp_path / "model").mkdir()
    group.save(tmp_path / "model")
    model, config = load_trained(tmp_path / "model")
    assert config == build_config(first)
    assert model.config.id2label == {0: "negative", 1: "positive"}

    group.start(second, None)
    group.next_report()  # and stopped in the middle
    _assert_same(_group_reports(group, second), _alone(second, tmp_path / "alone"))

    for wrong, words in ((_settings(base, frozen_layers=9), "9 is more than"), (_settings(base, **WILD), "loss is")):
        group.start(wrong | {"target": wrong["target"] | {"epochs": 9}}, None)
        with pytest.raises(TrialError, match=words):
            while True:
                group.next_report()

    group.start(_settings(base | {"encoder": broken_encoder}), None)
    with pytest.raises(TrialError, match="ValueError: .*chunk"):
        group.next_report()

    group.start(first, None)
    heard = [group.next_report() for _ in range(3)]  # the source's scores, the kept head's, the first epoch's
    (tmp_path / "half").mkdir()
    group.save(tmp_path / "half")
    assert not json.loads((tmp_path / "half" / "trial.json").read_text())["finished"]
    rest = _group_reports(group, first, tmp_path / "half")
    assert [(r.stage, r.step) for r in (heard[0], rest[0])] == [("source", 0)] * 2  # it is trained
    _assert_same([*heard[1:], *rest[1:]], expected[2:])

    for epochs in (1, 2):  # the second stage goes on from the first one's rung, on both ranks
        longer = _settings(base, source=True, epochs=1)
        longer["source"] |= {"schedule": "constant", "epochs": epochs}
        _assert_same(_group_reports(group, longer), _alone(longer, tmp_path / "alone"))

    group.close()
    assert not group._thread.is_alive()


def _tune(
    trials: list[dict[str, Any]],
    workspace: Workspace,
    workers: Resources,
    trainable: type[TuneTrial] = TuneTrial,
    checkpoint_seconds: float = 1e9,
    **run: Any,
) -> tune.ResultGrid:
    bound = tune.with_parameters(trainable, workspace=workspace, workers=workers)
    if workers.count > 1:
        bound = tune.with_resources(bound, tune.PlacementGroupFactory([{"node:__internal_head__": 0.001}]))
    else:
        bound = tune.with_resources(bound, {"CPU": workers.cpus, "GPU": workers.gpus})
    space = _tune_config(tune.grid_search(trials))
    tuner = tune.Tuner(
        bound,
        param_space=space | {"checkpoint_seconds": checkpoint_seconds},
        tune_config=tune.TuneConfig(reuse_actors=True, max_concurrent_trials=3 - workers.count),
        run_config=tune.RunConfig(storage_path=str(workspace.cache), verbose=0, **run),
    )
    return tuner.fit()


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_process_whose_gpu_is_lost_is_replaced(
    cluster: None, base: dict[str, Any], workspace: Workspace, tmp_path: Path
) -> None:
    class Poisoned(TuneTrial):  # local, so that it travels by value
        def step(self) -> dict[str, Any]:
            if self.iteration == 2 and not (tmp_path / "pid").exists():
                (tmp_path / "pid").write_text(str(os.getpid()))

                def fail() -> Report:
                    raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")

                self._runner.next_report = fail
            return super().step()

    settings = _settings(base, epochs=4)
    retry = {"failure_config": tune.FailureConfig(max_failures=1)}
    grid = _tune([settings], workspace, ONE, trainable=Poisoned, checkpoint_seconds=0, **retry)
    assert grid.num_errors == 0
    (result,) = grid
    assert result.metrics is not None
    assert result.metrics["pid"] != int((tmp_path / "pid").read_text())
    assert result.metrics["iterations_since_restore"] == 2
    expected = _alone(settings, tmp_path / "alone")[-1]
    assert result.metrics["metrics"] == expected.metrics


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_stopped_group_starves_nobody(cluster: None, base: dict[str, Any], workspace: Workspace) -> None:
    trials = [_settings(base, epochs=4, learning_rate=rate) for rate in (1e-3, 5e-4, 1e-4)]
    grid = _tune(trials, workspace, TWO, stop={"training_iteration": 2})
    assert grid.num_errors == 0
    assert [result.metrics["training_iteration"] for result in grid] == [2, 2, 2]
    assert len({result.metrics["pid"] for result in grid}) == 1


class _Running(tune.Callback):
    """How many trials were seen running together, at most."""

    most = 0

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: Any, **info: Any) -> None:
        self.most = max(self.most, sum(t.status == "RUNNING" for t in trials))


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_two_trials_share_a_gpu(cluster: None, base: dict[str, Any], workspace: Workspace) -> None:
    trials = [_settings(base, epochs=40, learning_rate=rate) for rate in (1e-3, 5e-4, 1e-4, 1e-5)]
    running = _Running()
    grid = _tune(trials, workspace, replace(ONE, cpus=0.5, gpus=0.5), callbacks=[running])
    assert grid.num_errors == 0
    said = [read_result(result.metrics) for result in grid]
    assert all(isinstance(each, TrialReport) and each.finished for each in said)
    assert running.most == 2
    assert len({result.metrics["pid"] for result in grid}) == 2
