"""A slot trains one trial after another, with the numbers of a trial without Ray, through stops, errors and deaths."""

import copy
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from ray import tune
from ray.tune.result import SHOULD_CHECKPOINT
from ray.tune.utils import flatten_dict

from tests.trainable.workers.conftest import ONE, TWO, WILD, run_alone, with_target
from trainable.progress import Report
from trainable.workers.actor import TuneTrial
from trainable.workers.messages import Resources, TrialReport, TrialTask, read_result
from trainable.workspace import Workspace


def _tune_config(trial: dict[str, Any], **further: Any) -> dict[str, Any]:
    return replace(TrialTask(0, trial, compare=True, resume=None, checkpoint_seconds=1e9), **further).to_config()


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


def test_a_slot_reports_what_the_trial_reports(slot: type[TuneTrial], base: dict[str, Any], tmp_path: Path) -> None:
    settings = with_target(base, source=True, epochs=3)
    expected = run_alone(settings, tmp_path / "alone")
    results = _to_end(slot(_tune_config(settings)))
    assert [r["metrics"] for r in results] == [r.metrics for r in expected]
    assert [r["stage"] for r in results] == ["source"] * 2 + ["target"] * 4
    assert [r["source_ready"] for r in results] == [False, True] + [False] * 4
    assert [r["percent_done"] for r in results] == [0, 0, 0, *(pytest.approx(100 * part / 3) for part in (1, 2, 3))]
    assert [r["finished"] for r in results] == [False] * 5 + [True]
    scores = [r.metrics.get("target.validation.macro_f1") for r in expected]
    values = [r.get("value") for r in results]
    assert values == [None if s is None else max(scores[2 : i + 1]) for i, s in enumerate(scores)]
    messages = [read_result(flatten_dict(r)) for r in results]  # as Tune hands them on
    assert messages == [read_result(r) for r in results]
    assert [(s.stage, s.stage_step, s.metrics) for s in messages if isinstance(s, TrialReport)] == [
        (r.stage, r.step, r.metrics) for r in expected
    ]


def test_a_trial_that_must_not_be_compared_reports_no_progress(slot: type[TuneTrial], base: dict[str, Any]) -> None:
    assert {r["percent_done"] for r in _to_end(slot(_tune_config(with_target(base), compare=False)))} == {0}


def test_a_slot_takes_the_next_trial_after_a_stop_and_after_an_error(
    slot: type[TuneTrial], base: dict[str, Any]
) -> None:
    first, second = with_target(base, source=True), with_target(base, source=True, learning_rate=5e-4)
    trial = slot(_tune_config(first))
    trial.train()  # stopped in the source stage, where it holds the lock of the shared stage
    assert trial.reset(_tune_config(second))
    after_stop = [r["metrics"] for r in _to_end(trial)]
    assert trial.reset(_tune_config(with_target(base, **WILD, epochs=9)))
    (*_, error) = _to_end(trial)
    assert "loss is" in error["error"]
    assert trial.reset(_tune_config(with_target(base, frozen_layers=9)))
    (wrong,) = _to_end(trial)
    assert "target.frozen_layers: 9 is more than the 3 layers" in wrong["error"]
    assert trial.reset(_tune_config(second))
    (cached, *target) = _to_end(trial)
    assert (cached["stage"], cached["stage_step"]) == ("source", 0)  # its source is trained: the scores alone
    assert [r["metrics"] for r in target] == after_stop[2:]


def test_an_exception_of_any_kind_ends_only_its_trial(
    slot: type[TuneTrial], base: dict[str, Any], broken_encoder: str
) -> None:
    trial = slot(_tune_config(with_target(base | {"encoder": broken_encoder})))
    (result,) = _to_end(trial)
    assert result["error"].startswith("ValueError: ")
    assert "chunk" in result["error"]
    assert trial.reset(_tune_config(with_target(base)))
    assert _to_end(trial)[-1]["finished"]


def test_checkpoints_are_asked_for_in_every_trial_of_a_slot(slot: type[TuneTrial], base: dict[str, Any]) -> None:
    trial = slot(_tune_config(with_target(base, epochs=3), checkpoint_seconds=0))
    for _ in range(2):
        assert [r.get(SHOULD_CHECKPOINT, False) for r in _to_end(trial)] == [False, True, True]
        trial.reset(_tune_config(with_target(base, epochs=3), checkpoint_seconds=0))
    trial.reset(_tune_config(with_target(base, epochs=3)))
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
    trial = slot(_tune_config(with_target(base)))
    trial.train()
    trial.save(str(tmp_path / "checkpoint"))
    files = [*(tmp_path / "checkpoint").iterdir(), tmp_path / "checkpoint"]
    assert len(files) > 3
    assert {path.stat().st_ino for path in files} <= before_it_appeared
    assert tmp_path.stat().st_ino in flushed


def test_a_dead_trial_continues_in_another_slot(slot: type[TuneTrial], base: dict[str, Any], tmp_path: Path) -> None:
    config = _tune_config(with_target(base, epochs=6, learning_rate=3e-3))
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
    config = _tune_config(with_target(base, epochs=3))
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

    settings = with_target(base, epochs=4)
    retry = {"failure_config": tune.FailureConfig(max_failures=1)}
    grid = _tune([settings], workspace, ONE, trainable=Poisoned, checkpoint_seconds=0, **retry)
    assert grid.num_errors == 0
    (result,) = grid
    assert result.metrics is not None
    assert result.metrics["pid"] != int((tmp_path / "pid").read_text())
    assert result.metrics["iterations_since_restore"] == 2
    expected = run_alone(settings, tmp_path / "alone")[-1]
    assert result.metrics["metrics"] == expected.metrics


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_stopped_worker_group_releases_its_resources(
    cluster: None, base: dict[str, Any], workspace: Workspace
) -> None:
    trials = [with_target(base, epochs=4, learning_rate=rate) for rate in (1e-3, 5e-4, 1e-4)]
    grid = _tune(trials, workspace, TWO, stop={"training_iteration": 2})
    assert grid.num_errors == 0
    assert [result.metrics["training_iteration"] for result in grid] == [2, 2, 2]
    assert len({result.metrics["pid"] for result in grid}) == 1


class _Running(tune.Callback):
    """Records the highest number of trials that ran at the same time."""

    most = 0

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: Any, **info: Any) -> None:
        self.most = max(self.most, sum(t.status == "RUNNING" for t in trials))


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_two_trials_share_a_gpu(cluster: None, base: dict[str, Any], workspace: Workspace) -> None:
    trials = [with_target(base, epochs=40, learning_rate=rate) for rate in (1e-3, 5e-4, 1e-4, 1e-5)]
    running = _Running()
    grid = _tune(trials, workspace, replace(ONE, cpus=0.5, gpus=0.5), callbacks=[running])
    assert grid.num_errors == 0
    messages = [read_result(result.metrics) for result in grid]
    assert all(isinstance(each, TrialReport) and each.finished for each in messages)
    assert running.most == 2
    assert len({result.metrics["pid"] for result in grid}) == 2
