"""Stages with different numbers of epochs share their first epochs, and the results are the same as without sharing."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock, Timeout

from trainable.compute.device import pick_device
from trainable.inputs.prepare import prepare
from trainable.progress import Report, StageContext
from trainable.settings.config import TrialConfig, build_config
from trainable.stages import epoch_checkpoints
from trainable.stages.stage_cache import TrainedSource, load_source, shared_epochs_key, source_key
from trainable.tasks.classification import CLASSIFICATION
from trainable.trial import Trial
from trainable.workspace import Workspace

Configure = Callable[..., TrialConfig]
EPOCH = 4
"""Optimiser steps of an epoch: 128 rows in batches of 32."""


@pytest.fixture
def configure(base: dict[str, Any]) -> Configure:
    """Build a trial from settings of its source, and settings of the trial in `trial`."""

    def configure(trial: dict[str, Any] | None = None, **source: Any) -> TrialConfig:
        fixed = {"source.enabled": True, "source.schedule": "constant", "source.evaluations_per_epoch": 2}
        return build_config(base, fixed | {f"source.{name}": value for name, value in source.items()} | (trial or {}))

    return configure


def _key(config: TrialConfig, of: Callable[..., str] = source_key) -> str:
    assert config.source is not None
    tokenized = prepare(config.dataset_of(config.source), config.encoder, [Path()])
    context = StageContext(
        "source",
        CLASSIFICATION,
        "macro_f1",
        config.seed,
        "fp32",
        pick_device(),
        config.micro_batches,
    )
    return of(config, config.source, tokenized, context)


def _train(config: TrialConfig, cache: Path) -> tuple[list[Report], TrainedSource]:
    """Run a trial up to its target stage; return the reports of its source stage, and the trained source."""
    reports = []
    for report in Trial(config, Workspace(cache)).reports():
        if report.stage == "target":
            break
        reports.append(report)
    return reports, load_source(cache / "stages" / _key(config))


def _same(one: TrainedSource, other: TrainedSource) -> bool:
    weights = one.weights.keys() == other.weights.keys() and all(
        torch.equal(tensor, other.weights[name]) for name, tensor in one.weights.items()
    )
    return weights and one.metrics == other.metrics


def _kept_steps(cache: Path) -> list[int]:
    """Return the steps of all checkpoints; all must be of shared epochs."""
    assert not [checkpoint for checkpoint in cache.glob("ladders/*/*/*") if checkpoint.parent.name != "trunk"]
    return sorted(int(checkpoint.name) for checkpoint in cache.glob("ladders/*/trunk/*"))


@pytest.mark.parametrize(
    "settings",
    [
        {"dropout": 0.1},
        {"frozen_layers": 1},
        {"learning_rate": 3e-2, "optimizer": "sgd"},
        {"schedule": "warmup_stable_decay", "layer_decay": 0.9},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_a_stage_continued_from_a_shorter_one_equals_one_trained_without_a_break(
    configure: Configure, tmp_path: Path, settings: dict[str, Any]
) -> None:
    short, long = (configure(epochs=epochs, **settings) for epochs in (1, 3))
    reports, expected = _train(long, tmp_path / "whole")
    assert [report.step for report in reports] == [2, 4, 6, 8, 10, 12]
    first, _ = _train(short, tmp_path / "continued")
    rest, continued = _train(long, tmp_path / "continued")
    assert [r.metrics for r in first] == [r.metrics for r in reports[:2]]
    assert rest == reports[2:]  # scores, and the mean loss of the steps between two reports
    assert _same(continued, expected)


@pytest.mark.parametrize("rate", [1e-3, 3e-2])
def test_a_shorter_stage_after_a_longer_one_trains_nothing(configure: Configure, tmp_path: Path, rate: float) -> None:
    cases = [configure({"metric": "loss"}, epochs=epochs, learning_rate=rate) for epochs in (3, 2, 1)]
    _train(cases[0], tmp_path / "shared")
    for config, epochs in ((cases[1], 2), (cases[2], 1)):
        (report,), shared = _train(config, tmp_path / "shared")  # training the last epoch would give two reports
        alone, expected = _train(config, tmp_path / f"alone{epochs}")
        assert (report.step, report.last, report.progress) == (epochs * EPOCH, True, 1.0)
        assert report.metrics == expected.metrics == [r for r in alone if r.improved][-1].metrics
        assert _same(shared, expected)
    assert _kept_steps(tmp_path / "shared") == [4, 8, 12]


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_schedules_that_fall_from_the_start_share_nothing(configure: Configure, tmp_path: Path, schedule: str) -> None:
    short, long = (configure(epochs=epochs, schedule=schedule) for epochs in (1, 2))
    _train(short, tmp_path)
    reports, _ = _train(long, tmp_path)
    assert [report.step for report in reports] == [2, 4, 6, 8]
    assert _kept_steps(tmp_path) == []
    assert _key(short, shared_epochs_key) != _key(long, shared_epochs_key)


def test_a_decay_is_not_shared(configure: Configure, tmp_path: Path) -> None:
    settings = {"schedule": "warmup_stable_decay", "decay_fraction": 0.5}
    _train(configure(epochs=4, **settings), tmp_path)
    assert _kept_steps(tmp_path) == [4, 8]  # the rate falls from step 9 of 16
    config = configure(epochs=2, **settings)
    reports, shared = _train(
        config, tmp_path
    )  # its rate falls from step 5 of 8: it cannot use the checkpoint of step 8
    assert [report.step for report in reports] == [6, 8]
    assert _same(shared, _train(config, tmp_path / "alone")[1])
    later, _ = _train(configure(epochs=3, schedule="warmup_stable_decay", decay_fraction=0.2), tmp_path)
    assert [report.step for report in later] == [10, 12]
    constant, _ = _train(configure(epochs=3), tmp_path)
    assert [report.step for report in constant] == [10, 12]


def test_patience_ends_a_stage_at_the_same_step_as_without_sharing(configure: Configure, tmp_path: Path) -> None:
    settings = {"patience": 2, "learning_rate": 3e-3, "dropout": 0.0, "evaluations_per_epoch": 1}
    short, long, longer = (configure({"metric": "loss"}, epochs=epochs, **settings) for epochs in (2, 20, 30))
    whole, expected = _train(long, tmp_path / "whole")
    assert 2 * EPOCH < whole[-1].step < 20 * EPOCH
    _train(short, tmp_path / "continued")
    rest, continued = _train(long, tmp_path / "continued")
    assert rest == whole[2:]
    assert _same(continued, expected)
    again, same = _train(longer, tmp_path / "continued")
    assert (again[-1].step, len(again)) == (whole[-1].step, 1)
    assert _same(same, expected)


def test_deleted_checkpoints_or_stages_change_nothing(configure: Configure, tmp_path: Path) -> None:
    short, long = (configure(epochs=epochs) for epochs in (1, 2))
    whole, expected = _train(long, tmp_path)
    shutil.rmtree(tmp_path / "stages")
    (report,), again = _train(long, tmp_path)
    assert report.last
    assert _same(again, expected)
    _train(short, tmp_path)
    for part in ("stages", "ladders"):
        shutil.rmtree(tmp_path / part)
    reports, again = _train(long, tmp_path)
    assert reports == whole
    assert _same(again, expected)


def test_a_damaged_checkpoint_is_not_used(configure: Configure, tmp_path: Path) -> None:
    long = configure(epochs=3)
    whole, expected = _train(long, tmp_path / "whole")
    _train(configure(epochs=2), tmp_path / "cut")
    (weights,) = tmp_path.glob("cut/ladders/*/trunk/8/weights.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1])
    rest, ended = _train(long, tmp_path / "cut")
    assert rest == whole[2:]  # it continued from the checkpoint of the first epoch
    assert _same(ended, expected)
    assert _kept_steps(tmp_path / "cut") == [4, 8, 12]


@pytest.mark.parametrize("stop", [1, 2, 3, 5])
def test_a_stage_continues_from_the_checkpoints_of_a_killed_process(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: int
) -> None:
    monkeypatch.setattr(epoch_checkpoints, "HEARTBEAT_SECONDS", -1.0)  # save at every report
    config = configure(epochs=3, schedule="warmup_stable_decay")  # decays from step 10 of 12
    whole, expected = _train(config, tmp_path / "whole")
    reports = Trial(config, Workspace(tmp_path / "cut")).reports()
    heard = [next(reports) for _ in range(stop)]
    folder = tmp_path / "cut" / "ladders" / _key(config, shared_epochs_key)
    with pytest.raises(Timeout):  # a stage with the same shared epochs must wait
        FileLock(folder / "lock", blocking=False).acquire()
    reports.close()  # type: ignore[attr-defined]  # a generator; its end releases the lock
    rest, ended = _train(config, tmp_path / "cut")
    assert heard + rest == whole
    assert _same(ended, expected)
    assert _kept_steps(tmp_path / "cut") == [4, 8]


def test_the_key_of_shared_epochs_contains_every_setting_except_length_and_decay(configure: Configure) -> None:
    keys = {_key(configure(), shared_epochs_key)}
    for same in ({"epochs": 7}, {"schedule": "warmup_stable_decay"}, {"decay_fraction": 0.5}):
        assert _key(configure(**same), shared_epochs_key) in keys
    others: list[dict[str, Any]] = [
        {"learning_rate": 1e-2},
        {"warmup_fraction": 0.5},
        {"batch_size": 16},
        {"padding_length": 16},
        {"frozen_layers": 1},
        {"train_rows": 40},
        {"patience": 1},
        {"evaluations_per_epoch": 1},
        {"trial": {"seed": 1}},
        {"trial": {"metric": "loss"}},
        {"trial": {"micro_batches": 2}},
        {"schedule": "linear"},
    ]
    for index, other in enumerate(others):
        keys.add(_key(configure(**other), shared_epochs_key))
        assert len(keys) == index + 2, other


def test_old_checkpoints_are_deleted_but_none_in_use(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, third = (configure(epochs=2, learning_rate=rate) for rate in (1e-3, 2e-3, 3e-3))
    _train(first, tmp_path)
    in_use = Trial(second, Workspace(tmp_path)).reports()
    for _ in range(2):
        next(in_use)
    monkeypatch.setattr(epoch_checkpoints, "CACHE_BYTES", 1)
    _train(third, tmp_path)
    left = {checkpoint.parents[1].name: checkpoint.name for checkpoint in tmp_path.glob("ladders/*/trunk/*")}
    assert left == {_key(second, shared_epochs_key): "4", _key(third, shared_epochs_key): "8"}
