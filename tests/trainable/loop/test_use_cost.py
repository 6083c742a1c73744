"""What a model costs its users depends on the encoder and the texts, and not on how it was trained."""

from typing import Any

import pytest

from trainable.loop.training import StageTraining
from trainable.settings.config import build_config
from trainable.stages.stage_builder import StageBuilder
from trainable.workspace import Workspace


def costs(base: dict[str, Any], workspace: Workspace, **settings: Any) -> tuple[float, float, StageTraining]:
    config = build_config(base, {f"target.{name}": value for name, value in settings.items()})
    builder = StageBuilder(config, workspace)
    tokenized = builder.tokenized("target", config.target)
    model, _ = builder.model(tokenized, config.target)
    training = StageTraining(model, *builder.splits(tokenized, config.target), config.target, builder.context("target"))
    metrics = next(training.evaluations()).metrics
    return metrics["target.model_weights"], metrics["target.text_gflops"], training


def test_weights_and_work_are_those_of_the_whole_model(base: dict[str, Any], workspace: Workspace) -> None:
    weights, work, training = costs(base, workspace)
    training.finish()
    assert weights == sum(parameter.numel() for parameter in training.model.parameters())
    layers = training.model.bert.encoder.layer
    matrices = sum(weight.numel() for weight in layers.parameters() if weight.ndim == 2)
    assert work == pytest.approx(2 * matrices * training.validation.inputs.lengths.mean() / 1e9)


@pytest.mark.parametrize("settings", [{"frozen_layers": 2}, {"tuning": "lora"}, {"epochs": 3}])
def test_what_costs_training_time_alone_changes_nothing(
    settings: dict[str, Any], base: dict[str, Any], workspace: Workspace
) -> None:
    assert costs(base, workspace, **settings)[:2] == costs(base, workspace)[:2]


def test_texts_that_are_cut_take_less_work(base: dict[str, Any], workspace: Workspace) -> None:
    assert costs(base, workspace, padding_length=8)[1] < costs(base, workspace, padding_length=16)[1]


def test_latency_is_measured_only_on_request_and_changes_no_score(base: dict[str, Any], workspace: Workspace) -> None:
    metrics = []
    for measure in (False, True):
        *_, training = costs(base, workspace, measure_latency=measure)
        metrics.append({**list(training.reports())[-1].metrics})
    assert metrics[1].pop("target.latency_ms") > 0
    assert metrics[0] == metrics[1]
