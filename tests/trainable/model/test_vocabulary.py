"""Training only the embeddings of the ids in use gives the same weights as training all embeddings."""

from pathlib import Path
from typing import Any

import pytest
import torch

from trainable.loop.optimizers import OPTIMIZERS
from trainable.loop.training import StageTraining
from trainable.model import vocabulary
from trainable.model.encoder import new_model
from trainable.progress import Report
from trainable.settings.config import build_config
from trainable.tasks.classification import CLASSIFICATION
from trainable.trial import Trial
from trainable.workspace import Workspace


def _train(base: dict[str, Any], folder: Path, **target: Any) -> tuple[list[Report], StageTraining]:
    settings = base | {"target": base["target"] | {"epochs": 3, "learning_rate": 3e-3, "dropout": 0.1, **target}}
    trial = Trial(build_config(settings), Workspace(folder))
    reports = list(trial.reports())
    assert trial._target is not None
    return reports, trial._target


def _whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vocabulary, "LARGEST_SHARE", 0.0)


@pytest.fixture(autouse=True)
def _some(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vocabulary, "LARGEST_SHARE", 1.0)  # the tiny encoder knows few words that are not in the data


@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_weights_are_those_of_the_whole_vocabulary(
    optimizer: str, decay: float, base: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"optimizer": optimizer, "weight_decay": decay, "gradient_clip": 0.1, "layer_decay": 0.9}
    ours, small = _train(base, tmp_path, **settings)
    _whole(monkeypatch)
    theirs, large = _train(base, tmp_path, **settings)
    for one, other in zip(ours, theirs, strict=True):
        assert one.metrics == pytest.approx(other.metrics, rel=1e-5, abs=1e-6)
    weights = dict(large.model.named_parameters())
    assert {name: p.shape for name, p in small.model.named_parameters()} == {n: p.shape for n, p in weights.items()}
    for name, parameter in small.model.named_parameters():
        torch.testing.assert_close(parameter, weights[name], rtol=1e-4, atol=1e-6)
        assert name not in small.trained or small.trained[name] is parameter


def test_only_words_of_the_data_are_trained(base: dict[str, Any], tmp_path: Path) -> None:
    config = build_config(base)
    model = new_model(config.encoder, CLASSIFICATION.head(("a", "b")), 0, None)
    table = model.get_input_embeddings().weight.shape
    used = vocabulary.cut_embeddings(model, config.target, torch.tensor([0, 2, 3, 7]).numpy())
    assert used is not None
    assert sum(p.numel() for p in used.parameters()) == 4 * table[1]
    ids = torch.tensor([[2, 7, 3, 0]])
    loss = model(input_ids=ids, attention_mask=ids.ne(0).long(), labels=torch.tensor([1])).loss
    loss.backward()
    assert used.weight.grad is not None
    assert (used.weight.grad.abs().sum(1) > 0).tolist() == [False, True, True, True]  # padding learns nothing
    with pytest.raises(IndexError):
        model(input_ids=torch.tensor([[1]]))


@pytest.mark.parametrize(
    "settings", [{"optimizer": "adafactor"}, {"optimizer": "adam", "weight_decay": 0.1}, {"frozen_layers": 1}]
)
def test_the_whole_table_trains_if_a_cut_table_is_not_exact(settings: dict[str, Any], base: dict[str, Any]) -> None:
    config = build_config(base | {"target": base["target"] | {"weight_decay": 0.0} | settings})
    model = new_model(config.encoder, CLASSIFICATION.head(("a", "b")), 0, None)
    model.get_input_embeddings().requires_grad_(not config.target.frozen_layers)
    assert vocabulary.cut_embeddings(model, config.target, torch.arange(3).numpy()) is None


def test_a_resume_continues_with_the_same_ids(base: dict[str, Any], tmp_path: Path) -> None:
    whole, training = _train(base, tmp_path)
    settings = base | {"target": base["target"] | {"epochs": 3, "learning_rate": 3e-3, "dropout": 0.1}}
    first = Trial(build_config(settings), Workspace(tmp_path))
    half = next(iter(first.reports()))
    first.save(tmp_path)
    second = Trial(build_config(settings), Workspace(tmp_path), tmp_path)
    rest = list(second.reports())
    assert [r.metrics for r in [half, *rest]] == [r.metrics for r in whole]
    assert second._target is not None
    for name, parameter in second._target.model.named_parameters():
        assert torch.equal(parameter, training.trained[name])
