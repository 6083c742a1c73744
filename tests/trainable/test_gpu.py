"""Behaviour on a GPU only: recorded steps, and its memory errors. Skipped without a GPU."""

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from trainable.loop.training import StageTraining
from trainable.model.encoder import new_model
from trainable.model.layers import layers_of
from trainable.settings.config import build_config
from trainable.stages.stage_builder import StageBuilder
from trainable.tasks.classification import CLASSIFICATION
from trainable.trial import Trial
from trainable.workspace import Workspace

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")]

Make = Callable[..., StageTraining]
BF16 = 2**-8
"""The rounding of one bfloat16 number, relative."""


@pytest.fixture
def make(base: dict[str, Any], workspace: Workspace) -> Make:
    def make(graphs: bool = True, **target: Any) -> StageTraining:
        """A target stage that evaluates after each step, frozen layers computed in it."""
        names = {"epochs": 3, "evaluations_per_epoch": 100} | target
        config = build_config(base, {f"target.{name}": value for name, value in names.items()})
        builder = StageBuilder(config, workspace)
        tokenized = builder.tokenized("target", config.target)
        model = new_model(config.encoder, CLASSIFICATION.head(tokenized.label_names), 0, config.target.dropout)
        splits, context = builder.splits(tokenized, config.target), builder.context("target")
        training = StageTraining(model, *splits, config.target, context)
        if not graphs:
            training.steps._graphs = None
        return training

    return make


def losses(training: StageTraining) -> list[float]:
    """Of training and validation, after each step."""
    evaluated = [report.metrics for report in training.reports() if "target.train.loss" in report.metrics]
    return [metrics[f"target.{name}.loss"] for metrics in evaluated for name in ("train", "validation")]


def shapes(training: StageTraining) -> int:
    """How many shapes of batch were recorded."""
    return len(training.steps._graphs or ())


def test_every_kind_has_the_same_losses_recorded(base: dict[str, Any], encoder: str, make: Make) -> None:
    base["encoder"] = encoder
    recorded, launched = make(), make(graphs=False)
    assert losses(recorded) == pytest.approx(losses(launched), rel=1e-4)  # with dropout
    assert shapes(recorded) > 1


@pytest.mark.parametrize(
    "settings", [{"optimizer": "adam"}, {"gradient_clip": None}, {"layer_decay": 0.9}, {"schedule": "cosine"}]
)
@pytest.mark.parametrize("frozen", [0, 2, 3])
def test_settings_have_the_same_losses_recorded(frozen: int, settings: dict[str, Any], make: Make) -> None:
    recorded, launched = make(frozen_layers=frozen, **settings), make(False, frozen_layers=frozen, **settings)
    assert losses(recorded) == pytest.approx(losses(launched), rel=1e-4)
    assert shapes(recorded) > 1


def test_in_bfloat16_losses_are_the_same_but_for_rounding(base: dict[str, Any], make: Make) -> None:
    base["precision"] = "bf16"
    assert losses(make()) == pytest.approx(losses(make(graphs=False)), rel=BF16)


def test_other_optimisers_are_not_recorded(make: Make) -> None:
    training = make(optimizer="sgd")
    assert len(losses(training)) > 10
    assert shapes(training) == 0


def test_a_network_that_waits_for_the_device_trains_as_it_is(make: Make) -> None:
    training, launched = make(), make(graphs=False)
    layers_of(training.model)[0].register_forward_pre_hook(lambda module, given: print(given[0].sum().item()))
    assert losses(training) == pytest.approx(losses(launched), rel=1e-4)
    assert training.steps._graphs is None


@pytest.mark.parametrize("room", [3, 8])
def test_too_little_memory_cuts_batches(room: int, make: Make) -> None:
    """Memory runs out at the first step, or at the first shape that is larger than the recorded ones."""

    def ask(module: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        if given[0].shape[0] > 3 and given[0].shape[1] > room and module.training:
            torch.empty(2**50, device="cuda")

    tight, plenty = make(dropout=0.0), make(dropout=0.0)
    layers_of(tight.model)[0].register_forward_pre_hook(ask)
    assert losses(tight) == pytest.approx(losses(plenty), rel=1e-4)
    assert tight.progress.micro_batches == 4


def test_a_resumed_stage_goes_on_as_if_it_had_not_been_stopped(make: Make, tmp_path: Path) -> None:
    whole, first, second = make(), make(), make()
    expected = [report.metrics for report in whole.reports()]
    reports = first.reports()
    for _ in range(7):
        next(reports)
    first.save(tmp_path)
    second.load(tmp_path)
    for metrics, report in zip(expected[7:], second.reports(), strict=True):
        assert report.metrics == pytest.approx(metrics, rel=1e-4)
    assert report.last
    assert shapes(second) > 1


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_trials_after_each_other_in_one_process(precision: str, base: dict[str, Any], workspace: Workspace) -> None:
    """Run trials with and without a source and frozen layers; memory does not grow."""
    base["precision"] = precision
    taken = []
    for turn in range(3):
        for frozen in range(4):
            names = {"source.enabled": turn > 0, "target.frozen_layers": frozen, "seed": turn}
            trial = Trial(build_config(base, names), workspace)
            reports = list(trial.reports())
            assert reports[-1].last
            assert trial._target is not None
            assert shapes(trial._target) > 1
            assert all(parameter.is_cuda for parameter in trial._target.model.parameters())
        gc.collect()
        torch.cuda.empty_cache()
        taken.append(torch.cuda.memory_reserved())
    assert taken[2] <= taken[1]


def test_bfloat16_is_what_auto_means(base: dict[str, Any], workspace: Workspace) -> None:
    assert StageBuilder(build_config(base, {"precision": "auto"}), workspace).context("target").precision == "bf16"
