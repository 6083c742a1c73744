"""The first trial that needs a source stage trains it; the cache saves time and does not change results."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from trainable.compute.device import pick_device
from trainable.inputs.prepare import prepare
from trainable.progress import Report, StageContext
from trainable.settings.config import TrialConfig, build_config
from trainable.stages import epoch_checkpoints
from trainable.stages.stage_cache import STAGE_FILE, source_key
from trainable.tasks.classification import CLASSIFICATION
from trainable.trial import Trial, run_trial
from trainable.workspace import Workspace

WITH_SOURCE = {"source.enabled": True}


def _run(config: TrialConfig, cache: Path) -> dict[str, list[Report]]:
    reports: dict[str, list[Report]] = {"source": [], "target": []}
    run_trial(config, lambda r: reports[r.stage].append(r) is None, workspace=Workspace(cache))
    return reports | {"source": [r for r in reports["source"] if r.step]}  # step 0: taken from the cache


def test_a_source_from_the_cache_is_reported_with_its_scores(base: dict[str, Any], tmp_path: Path) -> None:
    config, heard = build_config(base, WITH_SOURCE), []
    for _ in range(2):
        run_trial(config, lambda r: heard.append(r) is None, workspace=Workspace(tmp_path))
    cached = next(r for r in heard if r.stage == "source" and not r.step)
    best = max((r for r in heard if r.stage == "source" and r.step), key=lambda r: (r.improved, r.step))
    assert cached.metrics.items() <= best.metrics.items()
    assert "source.validation.macro_f1" in cached.metrics


def _stages(cache: Path) -> list[Path]:
    return [file.parent for file in cache.glob(f"stages/*/{STAGE_FILE}")]


def _key(config: TrialConfig) -> str:
    assert config.source is not None
    tokenized = prepare(config.dataset_of(config.source), config.encoder, [Path()])
    return source_key(
        config,
        config.source,
        tokenized,
        StageContext("source", CLASSIFICATION, "macro_f1", config.seed, "fp32", pick_device()),
    )


def test_the_poolings_have_stages_of_their_own(base: dict[str, Any], tmp_path: Path) -> None:
    configs = {
        pooling: build_config({**base, "pooling": pooling}, WITH_SOURCE) for pooling in ("auto", "first", "mean")
    }
    keys = {pooling: _key(config) for pooling, config in configs.items()}
    assert keys["auto"] == keys["first"] != keys["mean"]  # `auto` of this encoder is `first`
    assert [len(_run(configs[pooling], tmp_path)["source"]) for pooling in ("auto", "mean", "first")] == [2, 2, 0]
    assert len(_stages(tmp_path)) == 2


def test_two_trials_train_it_once_and_a_deleted_cache_changes_nothing(base: dict[str, Any], tmp_path: Path) -> None:
    slow, quick = (build_config(base, WITH_SOURCE | {"target.learning_rate": rate}) for rate in (1e-4, 1e-3))
    first, second = _run(slow, tmp_path), _run(quick, tmp_path)
    assert len(first["source"]) == 2
    assert second["source"] == []
    assert len(_stages(tmp_path)) == 1
    assert _run(quick, tmp_path)["target"] == second["target"]
    shutil.rmtree(tmp_path)
    assert _run(quick, tmp_path) == {"source": first["source"], "target": second["target"]}


def test_every_setting_that_matters_is_in_the_key(base: dict[str, Any], films_csv: Path, tmp_path: Path) -> None:
    rows = films_csv.read_text(encoding="utf-8").splitlines(keepends=True)
    for name, part in (("train", rows[:120]), ("validation", [rows[0], *rows[120:]])):
        (tmp_path / f"{name}.csv").write_text("".join(part), encoding="utf-8")
    given = {name: str(tmp_path / f"{name}.csv") for name in ("train", "validation")}
    changes: list[dict[str, Any]] = [
        {},
        {"seed": 1},
        {"metric": "accuracy"},
        {"source.learning_rate": 2e-3},
        {"source.epochs": 3},
        {"source.frozen_layers": 1},
        {"source.train_rows": 40},
        {"source.train_rows": {"per_class": 20}},
        {"source.train_rows": {"per_class": 21}},
        {"source.dropout": 0.2},
        {"source.patience": 1},
        {"source.dataset": {"csv": str(films_csv), "split_seed": 1}},
        {"source.dataset": {"csv": str(films_csv), "labels": {"positive": "positive", "negative": "negative"}}},
        {"source.dataset": given, "source.train_rows": 40},
        {"source.dataset": {**given, "split_seed": 1}, "source.train_rows": 40},  # other rows of the same table
        {"source.dataset": given, "source.train_rows": {"per_class": 20}},
        {"source.dataset": {**given, "split_seed": 1}, "source.train_rows": {"per_class": 20}},
    ]
    keys = [_key(build_config(base, WITH_SOURCE | change)) for change in changes]
    assert len(set(keys)) == len(keys)
    for change in ({"target.learning_rate": 1e-2}, {"target.train_rows": 20}, {"target.head": "new"}):
        assert _key(build_config(base, WITH_SOURCE | change)) == keys[0]


def test_the_same_content_under_another_path_is_the_same_stage(
    base: dict[str, Any], films_csv: Path, tiny_bert: str, tmp_path: Path
) -> None:
    shutil.copy(films_csv, tmp_path / "elsewhere.csv")
    shutil.copytree(tiny_bert, tmp_path / "encoder")
    moved = {"source.dataset": {"csv": str(tmp_path / "elsewhere.csv")}, "encoder": str(tmp_path / "encoder")}
    assert _key(build_config(base, WITH_SOURCE | moved)) == _key(build_config(base, WITH_SOURCE))


@pytest.mark.parametrize("stop", [1, 2, 4])
def test_an_unfinished_stage_continues_from_its_last_checkpoint(
    base: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: int
) -> None:
    monkeypatch.setattr(epoch_checkpoints, "HEARTBEAT_SECONDS", -1.0)  # save at every report
    config = build_config(base, WITH_SOURCE | {"source.evaluations_per_epoch": 3, "target.epochs": 1})
    whole = _run(config, tmp_path / "whole")
    assert len(whole["source"]) == 6
    heard: list[Report] = []
    run_trial(config, lambda r: heard.append(r) is None and len(heard) < stop, workspace=Workspace(tmp_path / "cut"))
    assert _stages(tmp_path / "cut") == []
    rest = _run(config, tmp_path / "cut")
    assert heard + rest["source"] == whole["source"]
    assert rest["target"] == whole["target"]
    (folder,) = _stages(tmp_path / "cut")
    assert sorted(p.name for p in folder.parent.iterdir() if not p.name.endswith(".lock")) == [folder.name]


def _start(file: Path, cache: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "trainable", str(file), "--cache", str(cache)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})


@pytest.mark.slow
def test_two_processes_at_once_train_it_once(base: dict[str, Any], tmp_path: Path) -> None:
    settings = {**base, "source": {**base["source"], "enabled": True, "epochs": 12}}
    file, cache = tmp_path / "trial.yaml", tmp_path / "cache"
    file.write_text(yaml.safe_dump(settings), encoding="utf-8")
    processes = [_start(file, cache) for _ in range(2)]
    ended = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], ended
    source, target = (
        [sum(line.startswith(f"{stage} epoch") for line in err.splitlines()) for _, err in ended]
        for stage in ("source", "target")
    )
    assert sorted(source) == [1, 12]  # the other process reports the scores of the cached stage
    assert target == [3, 3]  # the kept head's score, then two epochs
    assert ended[0][0] == ended[1][0]
    assert len(_stages(cache)) == 1


def test_a_trial_that_waits_for_a_source_sends_heartbeats(
    base: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(epoch_checkpoints, "HEARTBEAT_SECONDS", 0.01)
    config = build_config(base, WITH_SOURCE)
    training = Trial(config, Workspace(tmp_path)).reports()
    first = next(training)  # it trains, and has the lock
    waiting = Trial(config, Workspace(tmp_path)).reports()
    assert [(r.stage, r.step, r.metrics) for r in (next(waiting), next(waiting))] == [("source", 0, {})] * 2
    rest = list(training)
    found = next(waiting)  # the scores from the cache
    assert (found.step, found.last) == (0, True)
    assert any(found.metrics.items() <= report.metrics.items() for report in (first, *rest))
    assert [r.metrics for r in waiting] == [r.metrics for r in rest if r.stage == "target"]


@pytest.mark.slow
def test_two_processes_at_once_train_what_they_share_once(base: dict[str, Any], tmp_path: Path) -> None:
    processes = []
    for epochs in (8, 12):
        source = {**base["source"], "enabled": True, "schedule": "constant", "epochs": epochs}
        file = tmp_path / f"{epochs}.yaml"
        file.write_text(yaml.safe_dump({**base, "source": source}), encoding="utf-8")
        processes.append(_start(file, tmp_path / "cache"))
    ended = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], ended
    scored = r"^source epoch .* source\.validation"
    reports = tuple(len(re.findall(scored, err, re.MULTILINE)) for _, err in ended)
    assert reports in {(8, 4), (1, 12)}  # the second process continues from the first, or finds its epochs trained


@pytest.mark.slow
def test_a_killed_process_releases_the_lock(base: dict[str, Any], tmp_path: Path) -> None:
    settings = {**base, "source": {**base["source"], "enabled": True, "epochs": 40}}
    file, cache = tmp_path / "trial.yaml", tmp_path / "cache"
    file.write_text(yaml.safe_dump(settings), encoding="utf-8")
    process = _start(file, cache)
    assert process.stderr is not None
    assert any(line.startswith("source epoch") for line in process.stderr)  # it trains
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert _stages(cache) == []
    reports = _run(build_config(settings), cache)
    assert len(reports["source"]) == 40
    assert len(_stages(cache)) == 1
