"""A whole trial: source and target stage, the transfer of the head, checkpoints, and a resume at every report."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from trainable.checkpoint import load_trained
from trainable.deadline import Deadline
from trainable.errors import ConfigError, TrialError
from trainable.inputs.prepare import prepare
from trainable.loop.evaluate import compute_logits
from trainable.model.encoder import head_names, new_model
from trainable.progress import Report, TrialResult
from trainable.settings.config import build_config
from trainable.stages.stage_cache import TrainedSource
from trainable.stages.trained_on import trained_on
from trainable.stages.transfer import transfer
from trainable.tasks.classification import CLASSIFICATION
from trainable.trial import Trial, run_trial
from trainable.workspace import Workspace

WITH_SOURCE = {"source.enabled": True}
OTHER_NAMES = {"negative": "bad", "positive": "good"}


def _run(config: Any, workspace: Workspace, **further: Any) -> tuple[list[Report], TrialResult]:
    reports: list[Report] = []
    result = run_trial(config, lambda report: reports.append(report) is None, workspace=workspace, **further)
    return reports, result


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_resumed_at_every_report_is_uninterrupted(
    base: dict[str, Any], workspace: Workspace, tmp_path: Path, optimizer: str
) -> None:
    settings = {"source.epochs": 1, "target.evaluations_per_epoch": 3, "target.dropout": 0.1}
    config = build_config(base, WITH_SOURCE | settings | {"target.optimizer": optimizer})
    whole = Trial(config, workspace)
    reports = []
    for index, report in enumerate(whole.reports()):
        reports.append(report)
        (tmp_path / str(index)).mkdir()
        whole.save(tmp_path / str(index))
    assert [r.stage for r in reports] == ["source", *["target"] * 7]  # the kept head's score, then 2 * 3
    expected = load_file(tmp_path / "7" / "model.safetensors")
    best = [r for r in reports if r.improved and r.stage == "target"][-1].metrics
    for index in range(len(reports)):
        end = tmp_path / str(index) / "end"
        rest, result = _run(config, workspace, resume=tmp_path / str(index), save_to=end)
        # Before the first step on the target there is nothing to resume, and the source is in the cache.
        assert (rest[0].stage, rest[0].step) == ("source", 0)
        if reports[index].last and index:  # nothing is left to train: the best scores are reported again
            assert [(r.step, r.metrics, r.last) for r in rest[1:]] == [(reports[-1].step, best, True)]
        else:
            assert rest[1:] == (reports[index + 1 :] if reports[index].step and index else reports[1:])
        assert result == whole.result()
        ended = load_file(end / "model.safetensors")
        assert ended.keys() == expected.keys()
        assert all(torch.equal(ended[name], expected[name]) for name in expected)


def test_a_trial_that_ends_early_leaves_the_model_of_its_best_evaluation(
    base: dict[str, Any], workspace: Workspace, tmp_path: Path
) -> None:
    config = build_config(base, WITH_SOURCE | {"target.epochs": 4, "target.frozen_layers": 1})
    trial = Trial(config, workspace)
    reports = trial.reports()
    while not (report := next(reports)).improved or report.stage != "target":
        pass
    trial.end()
    ended = tmp_path / "ended"
    ended.mkdir()
    trial.save(ended)
    model, _ = load_trained(ended)
    tokenized = prepare(config.dataset_of(config.target), config.encoder, [Path()])
    split = tokenized.splits["validation"].for_stage(config.target)
    logits = compute_logits(model, split.inputs, torch.device("cpu"), "fp32")
    assert CLASSIFICATION.scores(logits, split.labels)["macro_f1"] == pytest.approx(trial.result().value)
    assert _run(config, workspace, resume=ended)[1].finished  # from the beginning of the target stage


def test_after_the_deadline_a_source_stage_ends_without_a_result(base: dict[str, Any], workspace: Workspace) -> None:
    config = build_config(base, WITH_SOURCE)
    trial = Trial(config, workspace, deadline=Deadline(0.0))
    (report,) = trial.reports()
    assert (report.stage, report.cut, trial.finished) == ("source", True, False)
    assert trial.result().value is None
    reports, result = _run(config, workspace)  # trains the stage, as no other trial left one
    assert reports[0].step > 0
    assert result.finished


def test_the_same_seed_gives_the_same_numbers_and_another_seed_does_not(base: dict[str, Any], tmp_path: Path) -> None:
    runs = [
        _run(build_config(base, WITH_SOURCE | {"seed": seed}), Workspace(tmp_path / str(i)))[0]
        for i, seed in enumerate((3, 3, 4))
    ]
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


def test_a_disabled_source_equals_no_source(base: dict[str, Any], workspace: Workspace) -> None:
    reports, result = _run(build_config(base, {"source.enabled": False}), workspace)
    without, alone = _run(build_config({name: v for name, v in base.items() if name != "source"}), workspace)
    assert reports == without
    assert result == alone
    assert {report.stage for report in reports} == {"target"}
    assert not (workspace.cache / "stages").exists()
    assert result.finished
    assert result.value == max(r.metrics["target.validation.macro_f1"] for r in reports)


def test_a_kept_head_is_scored_before_any_training(base: dict[str, Any], workspace: Workspace) -> None:
    kept, _ = _run(build_config(base, WITH_SOURCE), workspace)
    fresh, _ = _run(build_config(base, WITH_SOURCE | {"target.head": "new"}), workspace)
    zero = [report for report in kept if any("zero_shot" in name for name in report.metrics)]
    assert [(report.stage, report.step, report.progress) for report in zero] == [("target", 0, 0.0)]
    assert set(zero[0].metrics) >= {"target.zero_shot.accuracy", "target.zero_shot.loss", "target.zero_shot.macro_f1"}
    assert not any("zero_shot" in name for report in fresh for name in report.metrics)


def test_training_that_only_makes_the_source_model_worse_ends_with_that_model(
    base: dict[str, Any], workspace: Workspace, tmp_path: Path
) -> None:
    config = build_config(base, WITH_SOURCE | {"target.learning_rate": 0.5, "metric": "loss"})
    reports, result = _run(config, workspace, save_to=tmp_path / "saved")
    start = next(r for r in reports if "target.zero_shot.loss" in r.metrics)
    later = [r for r in reports if r.stage == "target" and r.step]
    assert start.improved
    assert not any(r.improved for r in later)
    assert result.value == start.metrics["target.zero_shot.loss"] == start.metrics["target.validation.loss"]
    model, _ = load_trained(tmp_path / "saved")
    source = next(workspace.cache.glob("stages/*/weights.safetensors"))
    trained = dict(model.named_parameters())
    assert all(torch.equal(trained[name], tensor) for name, tensor in load_file(source).items())


def test_other_labels_make_a_new_head_or_an_error(base: dict[str, Any], workspace: Workspace) -> None:
    dataset = {**base["target"]["dataset"], "labels": OTHER_NAMES}
    reports, _ = _run(build_config(base, WITH_SOURCE | {"target.dataset": dataset}), workspace)
    assert not any("zero_shot" in name for report in reports for name in report.metrics)
    with pytest.raises(ConfigError, match=r"target\.head: 'keep' needs the same labels .*'negative'.*'bad'"):
        _run(build_config(base, WITH_SOURCE | {"target.dataset": dataset, "target.head": "keep"}), workspace)


def test_a_kept_head_is_reordered_with_its_labels(tiny_bert: str) -> None:
    names, permuted = ("negative", "neutral", "positive"), ("positive", "negative", "neutral")
    one, other = (
        new_model(tiny_bert, CLASSIFICATION.head(names), 0).eval(),
        new_model(tiny_bert, CLASSIFICATION.head(permuted), 1).eval(),
    )
    with torch.no_grad():
        for name in head_names(one):  # biases are zero in a new head
            one.get_parameter(name).normal_()
    source = TrainedSource({n: p.detach() for n, p in one.named_parameters()}, CLASSIFICATION.head(names), {})
    assert transfer(source, other, CLASSIFICATION.head(permuted), "auto")
    ids = torch.arange(5, 29).reshape(3, 8)
    expected = one(input_ids=ids).logits[:, [names.index(name) for name in permuted]]
    assert torch.equal(other(input_ids=ids).logits, expected)


def test_with_a_new_head_only_the_encoder_is_transferred(tiny_bert: str) -> None:
    names = ("a", "b")
    one, other, fresh = (new_model(tiny_bert, CLASSIFICATION.head(names), seed) for seed in (0, 1, 1))
    with torch.no_grad():
        for parameter in one.parameters():
            parameter.add_(1)
    source = TrainedSource({n: p.detach() for n, p in one.named_parameters()}, CLASSIFICATION.head(names), {})
    assert not transfer(source, other, CLASSIFICATION.head(names), "new")
    for name, parameter in other.named_parameters():
        expected = fresh if name in head_names(other) else one
        assert torch.equal(parameter, expected.get_parameter(name)), name


@pytest.mark.parametrize("kept", [True, False])
def test_the_checkpoint_says_what_moved_from_the_source_and_what_is_new(
    kept: bool, base: dict[str, Any], workspace: Workspace, tmp_path: Path
) -> None:
    change = {"target.head": "auto" if kept else "new", "source.frozen_layers": 2, "target.epochs": 1}
    trial = Trial(build_config(base, WITH_SOURCE | change), workspace)
    list(trial.reports())
    trial.save(tmp_path)
    facts = trained_on(tmp_path)
    assert facts is not None and facts.moved is not None
    assert trial._target is not None
    moves = ("bert.encoder.layer.2.", "bert.pooler.", *(["classifier."] if kept else []))
    sizes = [p.numel() for name, p in trial._target.model.named_parameters() if name.startswith(moves)]
    assert facts.moved.weights == sum(sizes)
    assert facts.moved.head_kept == kept
    assert facts.moved.made_anew == (() if kept else ("classifier",))
    assert facts.moved.left == (() if kept else ("classifier",))
    words = "with the source's head. Nothing was made anew." if kept else "without its head. Made anew: classifier."
    assert facts.moved.sentence.startswith(f"{sum(sizes):,} weights moved from the source to the target, {words}")


def test_without_a_source_nothing_moved(base: dict[str, Any], workspace: Workspace) -> None:
    trial = Trial(build_config(base, {"target.epochs": 1}), workspace)
    next(trial.reports())
    moved = trial.builder.trained_on().moved
    assert moved is not None
    assert moved.sentence == "The model began with the encoder's pretrained weights. Made anew: classifier."


def test_a_finished_checkpoint_holds_what_changed_and_gives_the_same_logits(
    base: dict[str, Any], workspace: Workspace, tmp_path: Path
) -> None:
    config = build_config(base, WITH_SOURCE | {"source.frozen_layers": 2, "target.frozen_layers": 3})
    trial = Trial(config, workspace)
    for _ in trial.reports():
        pass
    trial.save(tmp_path)
    stored = set(load_file(tmp_path / "model.safetensors"))
    # The target trains pooler and head; the source also trains the top layer.
    assert all("layer.2." in name or "pooler" in name or "classifier" in name for name in stored)
    assert any("layer.2." in name for name in stored)
    model, loaded = load_trained(tmp_path)
    assert loaded == trial.builder.config
    assert not model.training
    tokenized = prepare(config.dataset_of(config.target), config.encoder, [Path()])
    validation = tokenized.splits["validation"].for_stage(config.target)
    assert trial._target is not None
    logits = compute_logits(model.to(trial.builder.device), validation.inputs, trial.builder.device)
    assert torch.equal(logits, compute_logits(trial._target.model, validation.inputs, trial.builder.device))
    metrics = CLASSIFICATION.scores(logits, validation.labels)
    assert metrics["macro_f1"] == trial.result().value
    facts = json.loads((tmp_path / "trial.json").read_text())
    assert facts["label_names"] == ["negative", "positive"]
    assert facts["metrics"] == trial.result().metrics


def test_an_unfinished_checkpoint_is_no_model(base: dict[str, Any], workspace: Workspace, tmp_path: Path) -> None:
    config = build_config(base)
    result = run_trial(config, lambda report: False, workspace=workspace, save_to=tmp_path / "stopped")
    assert not result.finished
    assert result.value is not None
    with pytest.raises(ConfigError, match="the trial has not ended, so there is no model to load"):
        load_trained(tmp_path / "stopped")


def test_settings_beyond_the_encoders_limits_are_refused_before_anything_starts(
    base: dict[str, Any], workspace: Workspace
) -> None:
    with pytest.raises(ConfigError) as caught:
        Trial(build_config(base, {"target.frozen_layers": 4, "target.padding_length": 65}), workspace)
    assert len(caught.value.problems) == 2
    assert not workspace.cache.exists()


def test_divergence_is_an_error_of_the_trial(base: dict[str, Any], workspace: Workspace) -> None:
    wild = {"target.optimizer": "sgd", "target.learning_rate": 10, "target.weight_decay": 10, "target.batch_size": 2}
    with pytest.raises(TrialError, match=r"target loss is (nan|inf) at step \d+ .*last finite loss"):
        _run(build_config(base, wild | {"target.gradient_clip": None, "target.epochs": 9}), workspace)


def test_reused_frozen_layers_change_no_result(base: dict[str, Any], tmp_path: Path) -> None:
    config = build_config(base, WITH_SOURCE | {"target.frozen_layers": 2, "source.frozen_layers": 1})
    runs = [
        _run(config, Workspace(tmp_path / ("reused" if reuse else "plain"), reuse_frozen=reuse))[0]
        for reuse in (True, True, False)
    ]
    numbers = [[list(r.metrics.values()) for r in reports if r.stage == "target"] for reports in runs]
    assert numbers[0] == numbers[1]
    for reused, plain in zip(numbers[0], numbers[2], strict=True):
        assert np.array(reused) == pytest.approx(np.array(plain), rel=1e-4, abs=1e-6)
