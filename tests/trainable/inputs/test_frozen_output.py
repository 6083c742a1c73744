"""Reusing the output of frozen layers gives the same numbers as computing it, and never uses the output of others."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from trainable.inputs.frozen_output import FrozenOutputInputs, FrozenOutputStore, layers_between
from trainable.inputs.prepare import prepare
from trainable.inputs.split import Split
from trainable.loop.evaluate import compute_logits
from trainable.loop.training import StageTraining
from trainable.model.encoder import fingerprint, new_model
from trainable.model.layers import layers_of
from trainable.model.limits import name_or_path
from trainable.settings.config import build_config
from trainable.stages.stage_builder import StageBuilder
from trainable.tasks.classification import CLASSIFICATION
from trainable.trial import Trial
from trainable.workspace import Workspace

DEPTH = 3


def losses(base: dict[str, Any], workspace: Workspace, **sampled: Any) -> list[float]:
    """The losses of training and validation at every optimiser step: one evaluation after each."""
    names = {f"target.{name}": value for name, value in sampled.items()}
    config = build_config(base, {"target.epochs": 3, "target.evaluations_per_epoch": 100, **names})
    trial = Trial(config, workspace)
    evaluated = [r.metrics for r in trial.reports() if "target.train.loss" in r.metrics]
    return [metrics[f"target.{name}.loss"] for name in ("train", "validation") for metrics in evaluated]


@pytest.mark.parametrize("count", range(1, DEPTH + 1))
@pytest.mark.parametrize("batch_size", [4, 16])
def test_each_step_has_the_same_loss_with_and_without(
    count: int, batch_size: int, base: dict[str, Any], workspace: Workspace
) -> None:
    without = losses(base, replace(workspace, reuse_frozen=False), frozen_layers=count, batch_size=batch_size)
    computed = losses(base, workspace, frozen_layers=count, batch_size=batch_size)
    reused = losses(base, workspace, frozen_layers=count, batch_size=batch_size)
    assert len(without) > 12
    assert computed == pytest.approx(without, rel=1e-5)
    assert reused == computed


def test_every_kind_of_encoder_has_the_same_losses(encoder: str, base: dict[str, Any], workspace: Workspace) -> None:
    base = {**base, "encoder": encoder}
    without = losses(base, replace(workspace, reuse_frozen=False), frozen_layers=2)
    assert losses(base, workspace, frozen_layers=2) == pytest.approx(without, rel=1e-5)
    stored = [file for file in (workspace.cache / "prefix").glob("*/*.safetensors") if file.stat().st_size > 1000]
    assert len(stored) == 2  # both splits: every kind of encoder uses the cache


def test_a_fixed_padding_reuses_nothing_and_says_so(base: dict[str, Any], workspace: Workspace) -> None:
    settings = {"target.frozen_layers": 2, "target.padding": "fixed", "target.epochs": 1}
    trial = Trial(build_config(base, settings), workspace)
    (notes,) = {report.notes for report in trial.reports()}
    reason = "`padding: fixed` computes the padding too; `padding: longest` reuses it"
    assert notes == (f"target: the frozen layers' output is not reused: {reason}",)
    assert not (workspace.cache / "prefix").exists()


@pytest.mark.parametrize("count", range(1, DEPTH + 1))
def test_splits_of_the_same_shape_are_not_confused(
    count: int, base: dict[str, Any], workspace: Workspace, films_csv: Path, tmp_path: Path
) -> None:
    head, *rows = films_csv.read_text().splitlines(keepends=True)
    splits = {"train": rows[:40], "validation": rows[40:80]}
    for name, part in splits.items():
        (tmp_path / f"{name}.csv").write_text(head + "".join(part))
    dataset = {name: str(tmp_path / f"{name}.csv") for name in splits}
    base = {**base, "target": {**base["target"], "dataset": dataset}}
    cut = {"frozen_layers": count, "padding_length": 8}  # all rows to the same length
    without = losses(base, replace(workspace, reuse_frozen=False), **cut)
    assert losses(base, workspace, **cut) == pytest.approx(without, rel=1e-5)
    assert len(list((workspace.cache / "prefix").glob("*/*.safetensors"))) == 2


def test_an_output_computed_from_a_lower_one_is_the_same(base: dict[str, Any], workspace: Workspace) -> None:
    direct = losses(base, workspace, frozen_layers=DEPTH - 1)
    other = Workspace(workspace.cache.with_name("other"), workspace.roots)
    losses(base, other, frozen_layers=1)
    assert losses(base, other, frozen_layers=DEPTH - 1) == pytest.approx(direct, rel=1e-5)


def test_a_deleted_cache_changes_nothing(base: dict[str, Any], workspace: Workspace) -> None:
    first = losses(base, workspace, frozen_layers=2)
    files = list((workspace.cache / "prefix").glob("*/*.safetensors"))
    assert len(files) == 2  # training and validation
    for file in files:
        file.unlink()
    assert losses(base, workspace, frozen_layers=2) == first


def test_all_trials_with_the_same_frozen_layers_share_one_output(base: dict[str, Any], workspace: Workspace) -> None:
    for rate in (1e-4, 1e-3):
        for size in (4, 16):
            losses(base, workspace, frozen_layers=2, learning_rate=rate, batch_size=size, epochs=1)
    assert len(list((workspace.cache / "prefix").glob("*/*.safetensors"))) == 2


Store = Callable[..., tuple[StageTraining, FrozenOutputStore]]


@pytest.fixture
def store_of(base: dict[str, Any], workspace: Workspace, tmp_path: Path) -> Store:
    def make(count: int, precision: str = "fp32", length: int = 32) -> tuple[StageTraining, FrozenOutputStore]:
        config = build_config(base, {"target.frozen_layers": count, "target.padding_length": length})
        dataset = config.dataset_of(config.target)
        tokenized = prepare(dataset, name_or_path(config.encoder), workspace.roots, workspace.cache / "tokens")
        model = new_model(config.encoder, CLASSIFICATION.head(tokenized.label_names), 0)
        train, validation = (tokenized.splits[name].for_stage(config.target) for name in ("train", "validation"))
        context = StageBuilder(config, workspace).context("target")
        training = StageTraining(model, train, validation, config.target, replace(context, precision=precision))
        weights = fingerprint(config.encoder)
        return training, FrozenOutputStore(tmp_path, weights, tokenized.fingerprint, precision, training.context.device)

    return make


def test_only_first_tokens_are_stored_if_all_layers_are_frozen(store_of: Store) -> None:
    for count in (DEPTH - 1, DEPTH):
        training, store = store_of(count)
        split = store.get(training.model, training.steps.train, count)
        assert isinstance(split, Split)
        assert isinstance(split.inputs, FrozenOutputInputs)
        assert (split.inputs.widths == 1).all() == (count == DEPTH)
        assert (split.inputs.lengths == training.steps.train.inputs.lengths).all()  # they decide the batches


@pytest.mark.parametrize("pooling", ["mean", "max"])
@pytest.mark.parametrize("count", [DEPTH - 1, DEPTH])
def test_pooled_models_have_the_same_losses_and_store_one_token_if_all_layers_are_frozen(
    pooling: str, count: int, base: dict[str, Any], workspace: Workspace
) -> None:
    base = {**base, "pooling": pooling}
    without = losses(base, replace(workspace, reuse_frozen=False), frozen_layers=count)
    computed, reused = (losses(base, workspace, frozen_layers=count) for _ in range(2))
    assert computed == pytest.approx(without, rel=1e-5)
    assert reused == computed
    for file in (workspace.cache / "prefix").glob("*/*.safetensors"):
        with safe_open(file, framework="pt") as stored:
            rows = len(stored.get_tensor("states"))
        assert (rows < 100) == (count == DEPTH), rows


def test_the_poolings_do_not_share_a_stored_output(base: dict[str, Any], workspace: Workspace) -> None:
    alone = {}
    for pooling in ("first", "mean", "max"):
        other = Workspace(workspace.cache.with_name(pooling), workspace.roots)
        alone[pooling] = losses({**base, "pooling": pooling}, other, frozen_layers=DEPTH)
        assert losses({**base, "pooling": pooling}, workspace, frozen_layers=DEPTH) == alone[pooling]
    assert len(list((workspace.cache / "prefix").glob("*/*.safetensors"))) == 6
    assert len({tuple(values) for values in alone.values()}) == 3


def test_pooled_models_in_bfloat16_store_what_they_compute(base: dict[str, Any], workspace: Workspace) -> None:
    base = {**base, "pooling": "mean", "precision": "bf16"}
    without = losses(base, replace(workspace, reuse_frozen=False), frozen_layers=DEPTH)
    assert losses(base, workspace, frozen_layers=DEPTH) == pytest.approx(without, rel=2e-2)


def test_a_head_that_reads_all_tokens_gets_all_tokens(store_of: Store) -> None:
    training, store = store_of(DEPTH)
    whole = training.model.bert.pooler

    class MeanPooler(torch.nn.Module):
        def forward(self, states: torch.Tensor) -> torch.Tensor:
            return torch.tanh(whole.dense(states.mean(1)))

    training.model.bert.pooler = MeanPooler()
    split = store.get(training.model, training.steps.train, DEPTH)
    # A mean over padding too is not the mean over a row's own tokens: either all tokens are kept, or nothing is.
    assert not isinstance(split, Split) or (split.inputs.widths == training.steps.train.inputs.lengths).all()


@pytest.mark.parametrize("count", range(1, DEPTH + 1))
def test_logits_are_those_of_the_whole_model(count: int, store_of: Store) -> None:
    training, store = store_of(count)
    expected = compute_logits(training.model, training.validation.inputs, training.context.device)
    training.reuse_frozen_output(store)
    assert isinstance(training.validation.inputs, FrozenOutputInputs)
    got = compute_logits(training.steps.network, training.validation.inputs, training.context.device)
    assert torch.allclose(got, expected, atol=1e-6)


def test_another_precision_truncation_or_weights_have_their_own_file(store_of: Store) -> None:
    keys = set()
    for precision, length in (("fp32", 32), ("bf16", 32), ("fp32", 8)):
        training, store = store_of(2, precision, length)
        keys.add(store._key(training.steps.train, "first"))
        keys.add(replace(store, weights="others")._key(training.steps.train, "first"))
        keys.add(replace(store, data="others")._key(training.steps.train, "first"))
    assert len(keys) == 9


def test_a_part_of_the_model_shares_its_weights_and_leaves_it_whole(store_of: Store) -> None:
    training, _ = store_of(2)
    names = [name for name, _ in training.model.named_parameters()]
    part = layers_between(training.model, 2)
    assert len(layers_of(training.model)) == DEPTH
    assert [name for name, _ in training.model.named_parameters()] == names
    own = {id(p) for p in training.model.parameters()}
    assert {id(p) for p in part.parameters()} < own
