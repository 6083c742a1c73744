"""Gradual unfreezing: which layers train at which step, and the rules of a stage that hold with it, too."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from encoder_kinds import MORE
from hypothesis import given
from hypothesis import strategies as st
from task_trials import scores, scores_after_resume
from transformers import AutoModel

from trainable.errors import ConfigError
from trainable.inputs.prepare import prepare
from trainable.loop.optimizers import schedule_factor, steps_independent_of_epochs
from trainable.loop.training import StageTraining
from trainable.loop.unfreezing import Unfreezing, frozen_layers_at
from trainable.model.encoder import new_model
from trainable.model.freezing import freeze
from trainable.model.layers import encoder_of, encoder_parts, layers_of
from trainable.model.vocabulary import UsedEmbeddings
from trainable.progress import StageContext
from trainable.settings.config import build_config
from trainable.settings.stage import Source, Stage
from trainable.stages.epoch_checkpoints import shared_settings
from trainable.tasks.classification import CLASSIFICATION
from trainable.trial import Trial
from trainable.workspace import Workspace

CPU = torch.device("cpu")


def make(base: dict[str, Any], **settings: Any) -> StageTraining:
    config = build_config(base, {f"target.{name}": value for name, value in settings.items()})
    tokenized = prepare(config.dataset_of(config.target), config.encoder, [Path()])
    train, validation = (tokenized.splits[name].for_stage(config.target) for name in ("train", "validation"))
    model = new_model(config.encoder, CLASSIFICATION.head(("a", "b")), config.seed, config.target.dropout)
    context = StageContext("target", CLASSIFICATION, "macro_f1", 0, "fp32", CPU)
    return StageTraining(model, train, validation, config.target, context)


def weights(training: StageTraining) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in training.model.named_parameters()}


@given(depth=st.integers(1, 24), share=st.floats(0, 1), fraction=st.floats(0, 0.999), total=st.integers(1, 300))
def test_layers_begin_in_order_and_all_of_them_train_at_the_end(
    depth: int, share: float, fraction: float, total: int
) -> None:
    frozen = round(share * depth)
    stage = Stage(dataset="films", frozen_layers=frozen, unfreeze_fraction=fraction)
    counts = [frozen_layers_at(step, total, depth, stage) for step in range(total)]
    assert all(one >= next_one for one, next_one in pairwise(counts))
    assert set(counts) <= set(range(frozen, depth + 1))
    assert counts[-1] == frozen
    assert set(counts[int(fraction * total) :]) == {frozen}
    if fraction == 0:
        assert set(counts) == {frozen}
    if int(fraction * total) >= 2 * depth:  # the parts are equal, but for whole steps
        lengths = [counts.count(count) for count in range(frozen + 1, depth + 1)]
        assert max(lengths, default=0) - min(lengths, default=0) <= 1


def test_layers_that_wait_keep_their_weights_and_run_without_dropout(base: dict[str, Any]) -> None:
    training = make(base, epochs=2, batch_size=8, unfreeze_fraction=0.75, dropout=0.1, evaluations_per_epoch=1)
    parts, take = encoder_parts(training.model), training.steps.take
    seen: list[int] = []

    def checked(*given: Any) -> Any:
        """Compare the weights of the layers that wait before and after each step."""
        count = frozen_layers_at(training.progress.step, training.total, 3, training.stage)
        before = weights(training)
        result = take(*given)
        waiting = {id(p) for p in parts.weights_below(count)} if count else set()
        for name, parameter in training.model.named_parameters():
            assert torch.equal(before[name], parameter) == (id(parameter) in waiting), (name, count)
        assert [layer.training for layer in layers_of(training.model)] == [index >= count for index in range(3)]
        assert training.model.base_model.embeddings.dropout.training == (count == 0)
        seen.append(count)
        return result

    training.steps.take = checked  # type: ignore[method-assign]
    list(training.reports())
    assert seen == sorted(seen, reverse=True)
    assert set(seen) == {0, 1, 2, 3}


def test_with_nothing_left_to_unfreeze_it_changes_nothing(base: dict[str, Any], tmp_path: Path) -> None:
    frozen = {"target.frozen_layers": 3}
    at_once = scores(build_config(base, frozen), Workspace(tmp_path / "a"))
    assert scores(build_config(base, frozen | {"target.unfreeze_fraction": 0.5}), Workspace(tmp_path / "b")) == at_once
    head = {"target.tuning": "head", "target.unfreeze_fraction": 0.5}
    assert scores(build_config(base, head), Workspace(tmp_path / "c")) == at_once


@pytest.mark.parametrize("settings", [{}, {"target.frozen_layers": 1}, {"target.tuning": "lora"}])
def test_resumed_at_every_report_is_uninterrupted(
    base: dict[str, Any], workspace: Workspace, settings: dict[str, Any], tmp_path: Path
) -> None:
    given = {"target.unfreeze_fraction": 0.9, "target.evaluations_per_epoch": 2, "target.dropout": 0.1, **settings}
    config = build_config(base, given)
    whole = Trial(config, workspace)
    reports = list(whole.reports())
    for index in range(1, len(reports)):
        assert scores_after_resume(config, workspace, tmp_path / str(index), index) == whole.result().metrics
    assert scores(build_config(base, given | {"target.unfreeze_fraction": 0.0}), workspace) != whole.result().metrics


def test_stored_output_of_the_frozen_layers_changes_no_result(base: dict[str, Any], tmp_path: Path) -> None:
    given = {"target.frozen_layers": 1, "target.unfreeze_fraction": 0.8, "target.dropout": 0.1, "target.epochs": 3}
    config = build_config(base, given)
    reused, computed = Workspace(tmp_path / "a"), Workspace(tmp_path / "b", reuse_frozen=False)
    one, other = scores(config, reused), scores(config, computed)
    assert list((tmp_path / "a" / "prefix").glob("*/*.safetensors"))
    assert one == pytest.approx(other, abs=1e-5)


def test_embeddings_that_wait_do_not_decay(base: dict[str, Any]) -> None:
    given = {"unfreeze_fraction": 0.9, "weight_decay": 0.5, "epochs": 1, "load_best_at_end": False}
    training = make(base, **given)
    table = training.model.get_input_embeddings()
    assert isinstance(table, UsedEmbeddings)
    before = new_model(base["encoder"], CLASSIFICATION.head(("a", "b")), 0).get_input_embeddings().weight
    list(training.reports())
    after = training.model.get_input_embeddings().weight
    unused = next(row for row in range(1, len(before)) if row not in table.ids)
    steps = range(int(0.9 * training.total), training.total)
    peak = next(group["peak"] for group in training.optimizer.param_groups if group["weight_decay"])
    factors = [schedule_factor(step, training.steps_per_epoch, training.stage) for step in steps]
    assert torch.allclose(after[unused], before[unused] * float(np.prod([1 - peak * 0.5 * f for f in factors])))
    assert not torch.equal(after[unused], before[unused])


def test_ranks_exchange_only_gradients_of_what_trains(base: dict[str, Any]) -> None:
    training = make(base, epochs=1, unfreeze_fraction=0.9)
    training._unfreeze(0)
    exchanged = training.steps._gradients()
    head = [p for name, p in training.model.named_parameters() if "pooler" in name or name.startswith("classifier")]
    assert len(exchanged) == len(head) > 0
    training._unfreeze(training.total - 1)
    assert len(training.steps._gradients()) == len(training.trained)


@pytest.mark.parametrize("kind", ["nystromformer", "opt"])
def test_rates_of_the_whole_encoder_are_0_until_the_embeddings_train(kind: str) -> None:
    torch.manual_seed(0)
    model = AutoModel.from_config(MORE[kind](50))
    container: Any = encoder_of(model)
    container.dropout = 0.25  # as XLM and OPT have it: a number that the forward pass reads
    stage = Stage(dataset="films", unfreeze_fraction=0.5)
    trained = dict(model.named_parameters())
    unfreezing = Unfreezing(model, stage, 12, trained, freeze(model, 0))
    rates = []
    for step in range(12):
        unfreezing.begin(step, model)
        rates.append(container.dropout)
    assert rates == [0.0] * 6 + [0.25] * 6
    assert all(p.requires_grad for p in model.parameters())


def test_stages_of_other_lengths_share_no_epochs() -> None:
    """Layers begin at shares of the stage, so its first epochs depend on how many there are."""
    stage = Source(dataset="films", schedule="constant", unfreeze_fraction=0.5)
    assert steps_independent_of_epochs(10, stage) == 0
    assert shared_settings(stage) == stage


def test_refused_where_no_head_could_begin_alone(base: dict[str, Any]) -> None:
    given = {"target.objective": "contrastive", "target.unfreeze_fraction": 0.5}
    with pytest.raises(ConfigError, match=r"target\.unfreeze_fraction: needs `objective: classification`"):
        build_config(base, given)
    with pytest.raises(ConfigError, match=r"target\.unfreeze_fraction"):
        build_config(base, {"target.unfreeze_fraction": 1.0})
