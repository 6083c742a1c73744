"""LoRA trains thin matrices beside linear layers; merged, they leave an ordinary model with the same logits."""

from pathlib import Path
from typing import Any

import pytest
import torch

from trainable.checkpoint import load_trained
from trainable.errors import ConfigError
from trainable.inputs.frozen_output_check import FrozenOutputCheck
from trainable.model.encoder import new_model
from trainable.model.freezing import freeze
from trainable.model.lora import Adapters, lora_problems, merged_weights, target_layers
from trainable.model.stage_weights import StageWeights
from trainable.settings.config import TrialConfig, build_config
from trainable.settings.stage import Target
from trainable.stages.stage_builder import StageBuilder
from trainable.tasks.classification import CLASSIFICATION
from trainable.trial import Trial, run_trial
from trainable.workspace import Workspace

LORA = {"tuning": "lora", "lora_rank": 4, "dropout": 0.1}
HEAD = CLASSIFICATION.head(("a", "b", "c"))


def _config(base: dict[str, Any], **target: Any) -> TrialConfig:
    return build_config({**base, "target": {**base["target"], **LORA, **target}})


def _stage(**given: Any) -> Target:
    return Target.model_validate({"dataset": {"csv": "x.csv"}, **LORA, **given})


def test_merged_logits_are_those_of_the_adapters(kind: str, encoders: dict[str, str]) -> None:
    model = new_model(encoders[kind], HEAD, seed=0).eval()
    batch = {"input_ids": torch.randint(5, 50, (3, 7)), "attention_mask": torch.ones(3, 7, dtype=torch.long)}
    before, names = model(**batch).logits, [name for name, _ in model.named_parameters()]
    weights = StageWeights(model, _stage(lora_targets="all"), 0)
    for name, parameter in weights.trained.items():
        if "lora_B" in name:  # they begin as zeros
            torch.nn.init.normal_(parameter, std=0.3)
    adapted = model(**batch).logits
    assert not torch.allclose(adapted, before, atol=1e-3)
    changed = weights.restore(lambda weight: 1.0)
    torch.testing.assert_close(model(**batch).logits, adapted, rtol=1e-4, atol=1e-5)
    assert [name for name, _ in model.named_parameters()] == names
    assert changed.keys() <= set(names)


def test_only_adapters_pooler_and_head_train_and_frozen_layers_get_no_adapters(tiny_bert: str) -> None:
    model = new_model(tiny_bert, HEAD, seed=0)
    weights = StageWeights(model, _stage(frozen_layers=1), 0)
    adapters = {name for name in weights.trained if "lora_" in name}
    assert {name.split(".")[3] for name in adapters} == {"1", "2"}
    assert {name.split(".")[6] for name in adapters} == {"query", "value"}
    others = weights.trained.keys() - adapters
    assert others == {"bert.pooler.dense.weight", "bert.pooler.dense.bias", "classifier.weight", "classifier.bias"}
    assert weights.count == 2 * 2 * 2 * 4 * 32 + 32 * 32 + 32 + 32 * 3 + 3
    assert len(weights.restore(lambda weight: 1.0)) == 4 + len(others)
    merged = sum(p.numel() for p in weights.trained.values())
    assert merged_weights(tiny_bert, 1, "attention", "first") == merged - (32 + 1)  # the third class
    assert StageWeights(new_model(tiny_bert, HEAD, seed=0), _stage(frozen_layers=3), 0).trained.keys() == others


def test_a_trial_resumes_and_its_checkpoint_is_an_ordinary_model(base: dict[str, Any], tmp_path: Path) -> None:
    config, workspace = _config(base, frozen_layers=1, layer_decay=0.9), Workspace(tmp_path)
    whole = run_trial(config, lambda report: True, workspace=workspace, save_to=tmp_path / "whole")
    trial = Trial(config, workspace)
    next(iter(trial.reports()))
    (tmp_path / "half").mkdir()
    trial.save(tmp_path / "half")
    resumed = run_trial(config, lambda report: True, tmp_path / "half", workspace=workspace, save_to=tmp_path / "end")
    assert resumed == whole
    (one, _), (other, _) = load_trained(tmp_path / "whole"), load_trained(tmp_path / "end")
    pretrained = new_model(base["encoder"], CLASSIFICATION.head(("a", "b")), 0)
    for (name, a), (_, b), (_, c) in zip(*(m.named_parameters() for m in (one, other, pretrained)), strict=True):
        assert torch.equal(a, b)
        layers = ("bert.encoder.layer.1.attention.self", "bert.encoder.layer.2.attention.self")
        adapted = name.startswith(layers) and name.endswith(("query.weight", "value.weight"))
        assert "classifier" in name or "pooler" in name or torch.equal(a, c) != adapted


def test_the_source_stage_can_have_adapters_too(base: dict[str, Any], tmp_path: Path) -> None:
    source = {**base["source"], **LORA, "enabled": True}
    config = build_config({**base, "source": source, "target": {**base["target"], "tuning": "head"}})
    result = run_trial(config, lambda report: True, workspace=Workspace(tmp_path), save_to=tmp_path)
    assert result.finished
    assert load_trained(tmp_path)[1].target.frozen_layers == 3  # what `head` means for this encoder


def test_the_output_of_frozen_layers_is_reused_only_without_adapters_below(
    base: dict[str, Any], workspace: Workspace
) -> None:
    config = _config(base, frozen_layers=1)
    trial = Trial(config, workspace)
    last = list(trial.reports())[-1]
    assert "frozen layers" in last.times and not last.notes  # a note would say why it is not reused
    builder = StageBuilder(config, workspace)
    tokenized = builder.tokenized("target", config.target)
    train, _ = builder.splits(tokenized, config.target)
    model = new_model(config.encoder, builder.head(tokenized), 0)
    frozen = freeze(model, 1)
    Adapters(model, config.target.model_copy(update={"frozen_layers": 0}), 0)
    check = FrozenOutputCheck(model, frozen, train.inputs, 1, builder.context("target"))
    assert "weights that train" in check.obstacle


def test_default_targets_follow_the_architecture(encoders: dict[str, str], kind: str) -> None:
    model = new_model(encoders[kind], HEAD, seed=0)
    default, every = (target_layers(model, targets) for targets in ("attention", "all"))
    assert default and default.keys() <= every.keys()


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ({"lora_rank": 33}, "lora_rank: 33 is more than the smaller side, 32, of .*query"),
        ({"lora_targets": "queries"}, "'queries' names no linear layer .* it has query, key, value, dense"),
        ({"tuning": "full"}, "lora_rank: needs `tuning: lora`"),
        ({"tuning": "head", "lora_rank": None, "lora_alpha": 4}, "lora_alpha: needs `tuning: lora`"),
    ],
)
def test_wrong_settings_are_refused(
    target: dict[str, Any], message: str, base: dict[str, Any], workspace: Workspace
) -> None:
    with pytest.raises(ConfigError, match=message):
        StageBuilder(_config(base, **target), workspace)
    if "tuning" not in target:
        problems = lora_problems(_config(base, **target).model_dump(), base["encoder"], "first")
        assert len(problems) == 1
