"""Groups, layer decay and schedules."""

from typing import Any, get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from trainable.loop.optimizers import (
    CONSTANT_AFTER_WARMUP,
    OPTIMIZERS,
    build_optimizer,
    schedule_factor,
    set_learning_rate,
    steps_independent_of_epochs,
)
from trainable.model.encoder import head_names, new_model
from trainable.model.freezing import freeze
from trainable.model.layers import layers_of
from trainable.settings.stage import Stage, Target
from trainable.tasks.classification import CLASSIFICATION

CPU = torch.device("cpu")


def _stage(**settings: Any) -> Stage:
    return Stage.model_validate({"dataset": "none", "warmup_fraction": 0.0, **settings})


SCHEDULES = get_args(Stage.model_fields["schedule"].annotation)


@pytest.mark.parametrize("frozen", range(4))
def test_groups_hold_what_trains_once_and_decay_spares_biases_and_norms(tiny_bert: str, frozen: int) -> None:
    model = new_model(tiny_bert, CLASSIFICATION.head(("a", "b")), 0)
    freeze(model, frozen)
    optimizer = build_optimizer(model, _stage(weight_decay=0.3, layer_decay=0.9), CPU)
    grouped = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in model.parameters() if p.requires_grad)
    names = {id(p): name for name, p in model.named_parameters()}
    decay = {names[id(p)]: group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    for name, value in decay.items():
        assert value == (0.0 if name.endswith("bias") or "LayerNorm" in name else 0.3), name


def test_layer_decay_by_depth(tiny_bert: str) -> None:
    model = new_model(tiny_bert, CLASSIFICATION.head(("a", "b")), 0)
    optimizer = build_optimizer(model, _stage(learning_rate=1e-3, layer_decay=0.5), CPU)
    peak = {id(p): group["peak"] for group in optimizer.param_groups for p in group["params"]}
    parameters = dict(model.named_parameters())
    for name in head_names(model) | {name for name in parameters if "pooler" in name}:
        assert peak[id(parameters[name])] == 1e-3
    for index, layer in enumerate(layers_of(model)):
        assert {peak[id(p)] for p in layer.parameters()} == {1e-3 * 0.5 ** (3 - index)}
    assert {peak[id(p)] for p in model.base_model.embeddings.parameters()} == {1e-3 * 0.5**4}
    set_learning_rate(optimizer, 0.25)
    assert all(group["lr"] == 0.25 * group["peak"] for group in optimizer.param_groups)


@pytest.mark.parametrize("layer_decay", [1.0, 0.5])
def test_the_head_has_a_rate_of_its_own(tiny_bert: str, layer_decay: float) -> None:
    model = new_model(tiny_bert, CLASSIFICATION.head(("a", "b")), 0)
    settings = {"dataset": "none", "learning_rate": 1e-3, "layer_decay": layer_decay, "head_rate": 30}
    optimizer = build_optimizer(model, Target.model_validate(settings), CPU)
    peak = {id(p): group["peak"] for group in optimizer.param_groups for p in group["params"]}
    for name, parameter in model.named_parameters():
        assert (peak[id(parameter)] == pytest.approx(0.03)) is (name in head_names(model)), name


def test_without_layer_decay_all_peaks_are_the_learning_rate(tiny_bert: str) -> None:
    optimizer = build_optimizer(
        new_model(tiny_bert, CLASSIFICATION.head(("a", "b")), 0), _stage(learning_rate=2e-4), CPU
    )
    assert {group["peak"] for group in optimizer.param_groups} == {2e-4}


@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_every_optimizer_lowers_the_loss_and_leaves_the_frozen(tiny_bert: str, name: str) -> None:
    model = new_model(tiny_bert, CLASSIFICATION.head(("a", "b")), 0, dropout=0.0).train()
    freeze(model, 2)
    before = {key: p.detach().clone() for key, p in model.named_parameters()}
    optimizer = build_optimizer(model, _stage(optimizer=name, learning_rate=1e-2 if name == "sgd" else 1e-3), CPU)
    ids, labels = torch.arange(5, 37).reshape(4, 8), torch.tensor([0, 1, 0, 1])
    losses = []
    for _ in range(4):
        loss = functional.cross_entropy(model(input_ids=ids).logits, labels)
        losses.append(loss.item())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert losses[-1] < losses[0]
    for key, parameter in model.named_parameters():
        assert parameter.requires_grad or torch.equal(parameter, before[key])


def test_the_tables_agree() -> None:
    assert set(get_args(Stage.model_fields["optimizer"].annotation)) == set(OPTIMIZERS)


@given(
    schedule=st.sampled_from(SCHEDULES),
    epoch=st.integers(1, 500),
    epochs=st.integers(1, 4),
    warmup=st.floats(0, 1),
    decay=st.floats(0, 1),
    data=st.data(),
)
def test_the_factor_is_a_share_of_the_peak(
    schedule: str, epoch: int, epochs: int, warmup: float, decay: float, data: st.DataObject
) -> None:
    stage = _stage(schedule=schedule, epochs=epochs, warmup_fraction=warmup, decay_fraction=decay)
    step = data.draw(st.integers(0, epoch * epochs - 1))
    assert 0 < schedule_factor(step, epoch, stage) <= 1


@given(
    schedule=st.sampled_from(sorted(CONSTANT_AFTER_WARMUP)),
    epoch=st.integers(1, 60),
    epochs=st.integers(1, 5),
    warmup=st.floats(0, 1),
    decay=st.floats(0, 1),
)
def test_steady_steps_are_those_that_a_longer_stage_takes_too(
    schedule: str, epoch: int, epochs: int, warmup: float, decay: float
) -> None:
    stage = _stage(schedule=schedule, epochs=epochs, warmup_fraction=warmup, decay_fraction=decay)
    endless = stage.model_copy(update={"schedule": "constant", "epochs": epochs + 1})
    same = [schedule_factor(s, epoch, stage) == schedule_factor(s, epoch, endless) for s in range(epoch * epochs)]
    assert same == [step < steps_independent_of_epochs(epoch, stage) for step in range(epoch * epochs)]


def test_other_schedules_have_no_steady_steps() -> None:
    others = [name for name in SCHEDULES if name not in CONSTANT_AFTER_WARMUP]
    assert [steps_independent_of_epochs(10, _stage(schedule=name)) for name in others] == [0, 0]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_warm_up_is_linear_and_reaches_the_peak(schedule: str) -> None:
    stage = _stage(schedule=schedule, epochs=1, warmup_fraction=0.1, decay_fraction=0.2)
    factors = [schedule_factor(step, 1000, stage) for step in range(1000)]
    assert factors[:100] == pytest.approx([(step + 1) / 100 for step in range(100)])
    assert max(factors) == factors[99] == factors[100] == 1.0
    falling = factors[100:]
    assert falling == sorted(falling, reverse=True)


def test_a_warm_up_before_a_held_peak_is_a_share_of_one_epoch() -> None:
    for name in SCHEDULES:
        factors = [
            schedule_factor(step, 100, _stage(schedule=name, epochs=5, warmup_fraction=0.2)) for step in range(500)
        ]
        assert factors.index(1.0) + 1 == (20 if name in CONSTANT_AFTER_WARMUP else 100)


def test_shapes_of_the_schedules() -> None:
    curves = {
        name: [schedule_factor(step, 1000, _stage(schedule=name, epochs=1, decay_fraction=0.2)) for step in range(1000)]
        for name in SCHEDULES
    }
    assert set(curves["constant"]) == {1.0}
    assert curves["linear"] == pytest.approx([1 - step / 1000 for step in range(1000)])
    assert curves["cosine"][500] == pytest.approx(0.5)
    assert curves["cosine"][250] == pytest.approx(0.8536, abs=1e-4)
    assert curves["cosine"][-1] < 1e-4
    assert curves["linear"][-1] == pytest.approx(1e-3)
    stable = curves["warmup_stable_decay"]
    assert set(stable[:801]) == {1.0}
    assert stable[800:] == pytest.approx([1 - step / 200 for step in range(200)])
