"""Views of a model compute less and give the same numbers as the whole model."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import PreTrainedModel

from trainable.loop.training import StageTraining
from trainable.model.encoder import new_model
from trainable.model.freezing import freeze
from trainable.model.layers import layers_of
from trainable.model.views import first_token_alone, flops_per_token, layers_between
from trainable.settings.config import build_config
from trainable.stages.stage_builder import StageBuilder
from trainable.tasks.classification import CLASSIFICATION
from trainable.workspace import Workspace

LABELS = ("negative", "neutral", "positive")
HEAD = CLASSIFICATION.head(LABELS)
READS_ALL = {"modernbert"}
"""Kinds whose own head reads more than the first token, or whose layers are unknown."""

Batch = dict[str, torch.Tensor]


def learn(model: PreTrainedModel, network: PreTrainedModel, batch: Batch) -> tuple[torch.Tensor, Batch]:
    """Logits of the network and the gradients that it leaves in the model."""
    model.zero_grad()
    logits = network(**batch).logits
    torch.nn.functional.cross_entropy(logits, torch.tensor([0, 2])).backward()
    return logits.detach(), {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("frozen", [0, 2, 3])
@pytest.mark.parametrize("padded", [True, False])
def test_the_first_token_alone_has_the_same_logits_and_gradients(
    kind: str, encoder: str, frozen: int, padded: bool, batch: Batch
) -> None:
    if not padded:  # then there is no mask at all
        batch = {name: tensor[:, :3] for name, tensor in batch.items()}
    assert bool(batch["attention_mask"].all()) is not padded
    model = new_model(encoder, HEAD, seed=0, dropout=0.0).train()
    freeze(model, frozen)
    network = first_token_alone(model)
    assert (network is model) == (kind in READS_ALL)
    expected, gradients = learn(model, model, batch)
    got, same = learn(model, network, batch)
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-6)
    assert same.keys() == gradients.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(same[name], gradient, rtol=1e-4, atol=1e-6, msg=name)


def test_the_top_layer_returns_one_token(kind: str, encoder: str, batch: Batch) -> None:
    network = first_token_alone(new_model(encoder, HEAD, seed=0))
    states = network.base_model(**batch).last_hidden_state
    assert states.shape[1] == (batch["input_ids"].shape[1] if kind in READS_ALL else 1)


def test_dropout_is_drawn_in_the_top_layer_too(encoder: str, batch: Batch) -> None:
    model = new_model(encoder, HEAD, seed=0, dropout=0.5)
    top = layers_between(first_token_alone(model), 2)
    states = {"inputs_embeds": torch.randn(2, 6, 32), "attention_mask": torch.ones(2, 6, dtype=torch.int64)}
    model.eval()
    quiet = top(**states).logits
    assert torch.equal(quiet, top(**states).logits)
    layers_of(model)[2].train()  # nothing else: neither the head nor what holds the layer
    assert not torch.equal(quiet, top(**states).logits)


def test_another_attention_is_left_alone(tiny_bert: str) -> None:
    model = new_model(tiny_bert, HEAD, seed=0)
    model.set_attn_implementation("eager")
    assert first_token_alone(model) is model
    model.set_attn_implementation("sdpa")
    assert first_token_alone(model) is not model
    model.config.is_decoder = True  # then a token sees those before it, and no mask says so
    assert first_token_alone(model) is model


@pytest.mark.parametrize("frozen", [0, 1, 2])
def test_each_step_has_the_same_loss_with_the_first_token_alone(
    frozen: int, base: dict[str, Any], workspace: Workspace
) -> None:
    names = {"epochs": 3, "evaluations_per_epoch": 100, "frozen_layers": frozen, "dropout": 0.0}
    config = build_config(base, {f"target.{name}": value for name, value in names.items()})

    def losses(whole: bool) -> list[float]:
        builder = StageBuilder(config, replace(workspace, reuse_frozen=False))
        tokenized = builder.tokenized("target", config.target)
        model = new_model(config.encoder, CLASSIFICATION.head(tokenized.label_names), 0, 0.0)
        splits, context = builder.splits(tokenized, config.target), builder.context("target")
        training = StageTraining(model, *splits, config.target, context)
        assert training.steps.network is not model
        if whole:
            training.steps.network = model
        return [report.metrics["target.train.loss"] for report in training.reports()]

    expected = losses(whole=True)
    assert len(expected) > 6
    assert losses(whole=False) == pytest.approx(expected, rel=1e-5)


def counted(network: PreTrainedModel, batch: Batch, trains: bool) -> int:
    """FLOPs of all products with weights, as torch counts them."""
    with FlopCounterMode(display=False) as counter:
        loss = network(**batch).logits.sum()
        if trains:
            loss.backward()
    counts = counter.get_flop_counts()["Global"]
    return sum(counts.get(operation, 0) for operation in (torch.ops.aten.addmm, torch.ops.aten.mm))


@pytest.mark.parametrize("trains", [True, False])
@pytest.mark.parametrize("narrow", [True, False])
def test_flops_are_those_that_torch_counts(tiny_bert: str, trains: bool, narrow: bool, batch: Batch) -> None:
    model = new_model(tiny_bert, HEAD, 0)
    network = first_token_alone(model) if narrow else model
    rows, hidden = len(batch["input_ids"]), model.config.hidden_size
    once = hidden**2 + len(LABELS) * hidden  # pooler and classifier, once a text
    once += (2 * hidden**2 + 2 * hidden * model.config.intermediate_size) if narrow else 0
    above = (6 if trains else 2) * rows * once
    assert flops_per_token(network, trains) * batch["input_ids"].numel() + above == counted(network, batch, trains)


def test_frozen_layers_count_once(tiny_bert: str) -> None:
    model = new_model(tiny_bert, HEAD, 0)
    whole = flops_per_token(model, trains=True)
    freeze(model, 1)
    assert flops_per_token(model, trains=True) == pytest.approx(whole * (1 - 2 / 3 / model.config.num_hidden_layers))
    assert flops_per_token(model, trains=False) == pytest.approx(whole / 3)
