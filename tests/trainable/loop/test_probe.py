"""`head: probe`: the head begins as a logistic regression on the features, and training goes on from there."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from trainable.loop.evaluate import compute_logits
from trainable.loop.head_features import head_features
from trainable.loop.probe import STRENGTH, probe_head
from trainable.loop.training import StageTraining
from trainable.model.encoder import output_layer
from trainable.progress import Report
from trainable.settings.config import TrialConfig, build_config
from trainable.stages.stage_builder import StageBuilder
from trainable.tasks.classification import MOST_ITERATIONS
from trainable.tasks.linear_head import HeadFit, mean_and_spread
from trainable.trial import Trial, run_trial
from trainable.workspace import Workspace

each_pooling = pytest.mark.parametrize("pooling", ["first", "mean"])


def stage_of(config: TrialConfig, workspace: Workspace) -> StageTraining:
    builder = StageBuilder(config, workspace)
    tokenized = builder.tokenized("target", config.target)
    model, _ = builder.model(tokenized, config.target)
    return StageTraining(model, *builder.splits(tokenized, config.target), config.target, builder.context("target"))


def reports_of(config: TrialConfig, workspace: Workspace, **more: Any) -> list[Report]:
    reports: list[Report] = []
    run_trial(config, lambda report: reports.append(report) is None, workspace=workspace, **more)
    return reports


@each_pooling
def test_the_head_gives_the_probabilities_of_the_regression(
    pooling: str, base: dict[str, Any], workspace: Workspace
) -> None:
    training = stage_of(build_config({**base, "pooling": pooling}), workspace)
    features, labels = head_features(training, training.steps.train), training.steps.train.labels
    mean, spread = mean_and_spread(features)
    model = LogisticRegression(C=STRENGTH, max_iter=MOST_ITERATIONS, tol=HeadFit(STRENGTH).tolerance).fit(
        (features - mean) / spread, labels
    )
    probe_head(training)
    logits = compute_logits(training.model, training.steps.train.inputs, torch.device("cpu"))
    expected = model.predict_proba((features - mean) / spread)
    np.testing.assert_allclose(torch.softmax(logits, -1).numpy(), expected, atol=1e-4)


def test_a_class_without_rows_is_not_predicted(base: dict[str, Any], workspace: Workspace) -> None:
    training = stage_of(build_config(base), workspace)
    training.model.classifier, training.model.config.num_labels = torch.nn.Linear(32, 3), 3
    probe_head(training)
    logits = compute_logits(training.model, training.steps.train.inputs, torch.device("cpu"))
    assert bool((logits[:, 2] < logits[:, :2].amax(1) - 10).all())


def test_with_one_class_alone_the_head_stays_random(base: dict[str, Any], workspace: Workspace) -> None:
    training = stage_of(build_config(base), workspace)
    before = output_layer(training.model)[1].weight.detach().clone()
    training.steps.train.labels[:] = 0
    probe_head(training)
    assert torch.equal(output_layer(training.model)[1].weight, before)


def test_it_is_scored_before_the_first_step_and_is_no_source_as_it_stands(
    base: dict[str, Any], workspace: Workspace
) -> None:
    config = build_config(base, {"target.head": "probe"})
    first, *_ = reports_of(config, workspace)
    assert first.step == 0
    assert "target.validation.macro_f1" in first.metrics
    assert not any("zero_shot" in name for name in first.metrics)


def test_a_resume_does_not_probe_again(base: dict[str, Any], workspace: Workspace, tmp_path: Path) -> None:
    config = build_config(base, {"target.head": "probe", "target.dropout": 0.0})
    trial, reports = Trial(config, workspace), []
    for report in trial.reports():
        reports.append(report)
        if len(reports) == 2:
            trial.save(tmp_path)
    assert reports_of(config, workspace, resume=tmp_path) == reports[2:]


def test_with_frozen_layers_and_their_stored_output_it_is_the_same(base: dict[str, Any], tmp_path: Path) -> None:
    config = build_config(base, {"target.head": "probe", "target.frozen_layers": 2, "target.dropout": 0.0})
    losses = [
        [
            report.metrics["target.validation.loss"]
            for report in reports_of(config, Workspace(tmp_path / name, reuse_frozen=reuse))
        ]
        for name, reuse in (("with", True), ("without", False))
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_after_a_source_with_the_same_labels_its_head_is_replaced(base: dict[str, Any], workspace: Workspace) -> None:
    config = build_config(base, {"source.enabled": True, "target.head": "probe"})
    reports = reports_of(config, workspace)
    assert not any("zero_shot" in name for report in reports for name in report.metrics)
