"""A stage begins with unchanged data, an unchanged encoder, and the weights of the stage before."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from trainable.errors import ConfigError
from trainable.model.encoder import fingerprint
from trainable.settings.config import build_config
from trainable.stages.stage_builder import StageBuilder
from trainable.stages.stage_cache import TrainedSource
from trainable.tasks.classification import CLASSIFICATION
from trainable.workspace import Workspace


def test_data_and_encoder_must_not_change_during_a_sweep(base: dict[str, Any], workspace: Workspace) -> None:
    config = build_config(base)
    data = StageBuilder(config, workspace).tokenized("target", config.target)
    encoder = fingerprint(config.encoder)
    allowed = frozenset({encoder, data.data_fingerprint, data.tokenizer_fingerprint})
    assert StageBuilder(config, replace(workspace, allowed=allowed)).tokenized("target", config.target) == data
    other_data = StageBuilder(config, replace(workspace, allowed=frozenset({encoder})))
    with pytest.raises(ConfigError, match="^target: the data set 'tweets' or its tokenizer was changed"):
        other_data.tokenized("target", config.target)
    with pytest.raises(ConfigError, match="its weights were changed while the sweep ran"):
        StageBuilder(config, replace(workspace, allowed=frozenset({"another"})))


def test_a_model_begins_with_the_weights_of_the_stage_before(base: dict[str, Any], workspace: Workspace) -> None:
    config = build_config(base)
    builder = StageBuilder(config, workspace)
    tokenized = builder.tokenized("target", config.target)
    model, kept = builder.model(tokenized, config.target)
    assert not kept
    trained = {name: p.detach() + 1 for name, p in model.named_parameters()}
    model, kept = builder.model(
        tokenized, config.target, TrainedSource(trained, CLASSIFICATION.head(tokenized.label_names), {})
    )
    assert kept
    assert all(torch.equal(p, trained[name]) for name, p in model.named_parameters())
    assert set(builder.trained_on().stages) == {"target"}


def test_another_draw_takes_other_training_rows_and_the_same_validation_rows(
    base: dict[str, Any], workspace: Workspace
) -> None:
    def rows(**target: Any) -> tuple[set[int], list[int]]:
        config = build_config(base, {f"target.{name}": value for name, value in target.items()})
        builder = StageBuilder(config, workspace)
        train, validation = builder.splits(builder.tokenized("target", config.target), config.target)
        return set(train.inputs.rows.tolist()), validation.inputs.rows.tolist()

    first, held_out = rows(train_rows=16)
    second, same = rows(train_rows=16, draw=1)
    assert len(first) == len(second) == 16
    assert first != second
    assert held_out == same
    assert second < rows(train_rows=24, draw=1)[0]  # the rows of a draw are in its larger draws
    assert rows(draw=1) == rows()  # where all rows train, there is nothing to draw
