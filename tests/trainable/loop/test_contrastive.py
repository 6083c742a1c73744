"""Contrastive training: the loss by hand, and that it learns, resumes and keeps its promises as other stages do."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainable.baselines.compute import compute_baselines
from trainable.baselines.results import BaselineFolder, config_of
from trainable.loop.contrastive import contrastive_loss
from trainable.model.encoder import output_layer
from trainable.settings.config import TrialConfig, build_config
from trainable.trial import Trial
from trainable.workspace import Workspace

CONTRASTIVE = {"target.objective": "contrastive", "target.head": "probe"}
Run = Callable[..., Trial]


@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.integers(0, 1000))
def test_the_loss_is_the_mean_over_pairs_of_each_kind(labels: list[int], seed: int) -> None:
    vectors = torch.randn(len(labels), 5, generator=torch.Generator().manual_seed(seed))
    alike, different = [], []
    for i, first in enumerate(vectors):
        for j, second in enumerate(vectors[:i]):
            cosine = float(torch.cosine_similarity(first, second, dim=0))
            (alike if labels[i] == labels[j] else different).append(cosine)
    expected = sum((1 - c) ** 2 for c in alike) / max(1, len(alike)) + sum(c**2 for c in different) / max(
        1, len(different)
    )
    assert float(contrastive_loss(vectors, torch.tensor(labels))) == pytest.approx(expected, abs=1e-5)


@pytest.fixture
def run(base: dict[str, Any], tmp_path: Path) -> Run:
    """Run a trial to its end, or from a checkpoint; save after each report if a folder is given."""

    def run(resume: Path | None = None, save_to: Path | None = None, **settings: Any) -> Trial:
        names = {f"target.{name}": value for name, value in settings.items()}
        config: TrialConfig = build_config(base, {**CONTRASTIVE, "target.epochs": 6, **names})
        trial = Trial(config, Workspace(tmp_path / "cache"), resume)
        for index, report in enumerate(trial.reports()):
            if save_to and not report.last:
                (save_to / str(index)).mkdir(parents=True)
                trial.save(save_to / str(index))
        return trial

    return run


def weights(trial: Trial) -> dict[str, torch.Tensor]:
    assert trial._target is not None
    return {name: p.detach().clone() for name, p in trial._target.model.named_parameters()}


def test_the_loss_falls_and_the_head_is_fitted_anew(base: dict[str, Any], tmp_path: Path) -> None:
    settings = {**CONTRASTIVE, "target.epochs": 20, "target.learning_rate": 3e-3, "target.dropout": 0.0}
    trial = Trial(build_config(base, settings), Workspace(tmp_path / "cache"))
    losses, heads = [], []
    for report in trial.reports():
        if "target.train.loss" in report.metrics and report.step:
            losses.append(report.metrics["target.train.loss"])
            assert trial._target is not None
            heads.append(output_layer(trial._target.model)[1].weight.detach().clone())
    assert losses[0] > 0.7
    assert losses[-1] < 0.4
    assert not torch.equal(heads[0], heads[-1])


def test_resumed_is_uninterrupted_bit_for_bit(run: Run, tmp_path: Path) -> None:
    whole = run(save_to=tmp_path / "states", dropout=0.1)
    states = sorted((tmp_path / "states").iterdir(), key=lambda path: int(path.name))
    assert len(states) >= 3
    for state in (states[0], states[len(states) // 2], states[-1]):
        resumed = run(resume=state, dropout=0.1)
        assert resumed.result() == whole.result()
        assert all(torch.equal(tensor, weights(whole)[name]) for name, tensor in weights(resumed).items())


def test_with_nothing_to_train_it_is_the_regression_alone(base: dict[str, Any], tmp_path: Path) -> None:
    """The mean of frozen layers has no weights that train."""
    settings = {"pooling": "mean", "target.head": "probe", "target.frozen_layers": 3, "target.dropout": 0.0}
    results = []
    for objective in ({"target.objective": "contrastive"}, {"target.learning_rate": 1e-9}):
        trial = Trial(build_config(base, settings | objective), Workspace(tmp_path / "cache"))
        list(trial.reports())
        results.append(trial.result().metrics["target.validation.loss"])
    assert results[0] == pytest.approx(results[1], abs=1e-6)


@pytest.mark.parametrize("head", ["new", "keep", "auto"])
def test_whatever_the_first_head_is_the_last_one_is_a_regression(
    base: dict[str, Any], head: str, tmp_path: Path
) -> None:
    settings = {**CONTRASTIVE, "target.epochs": 2, "target.dropout": 0.0, "source.enabled": True}
    last = []
    for first in (head, "probe"):
        trial = Trial(build_config(base, settings | {"target.head": first}), Workspace(tmp_path / "cache"))
        list(trial.reports())
        last.append(output_layer(trial._target.model)[1].weight)  # type: ignore[union-attr]  # it has run
    assert torch.allclose(*last, atol=1e-4)


def test_the_baselines_of_a_sweep_with_this_objective_can_be_read(base: dict[str, Any], tmp_path: Path) -> None:
    folder = BaselineFolder(tmp_path / "baselines")
    compute_baselines(build_config(base, CONTRASTIVE), Workspace(tmp_path / "cache"), folder, folds=1, refit=False)
    assert config_of(folder.checkpoint("features")).target.frozen_layers == 3
