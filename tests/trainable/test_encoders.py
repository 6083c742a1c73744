"""Every kind of encoder that people fine-tune: what freezes, and that no shortcut changes a number."""

from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
import transformers
from encoder_kinds import COMMON, DEPTH, KINDS, MORE
from transformers import AutoModel, AutoTokenizer, PreTrainedModel

from trainable.checkpoint import load_trained
from trainable.errors import ConfigError
from trainable.loop.evaluate import compute_logits
from trainable.loop.head_features import head_features
from trainable.model.encoder import checked_limits, head_names, new_model, output_layer
from trainable.model.freezing import freeze, train_mode, trained_weights
from trainable.model.layers import encoder_parts, layers_of
from trainable.model.limits import read_limits
from trainable.model.pretrained import model_without_weights
from trainable.settings.config import build_config
from trainable.stages.stage_cache import TrainedSource
from trainable.stages.transfer import transfer
from trainable.tasks.classification import CLASSIFICATION
from trainable.trial import Trial
from trainable.workspace import Workspace

EVERY_STEP = {"target.evaluations_per_epoch": 100}
PAIR_OF_STACKS = {f"{part}_layers": 2 for part in ("encoder", "decoder")} | {
    f"{part}_{what}": n for part in ("encoder", "decoder") for what, n in (("attention_heads", 2), ("ffn_dim", 64))
}
LABELS = ("negative", "neutral", "positive")
HEAD = CLASSIFICATION.head(LABELS)
ABOVE = {
    "modernbert": "final_norm",
    "megatron-bert": "encoder.ln",
    "xlm-roberta-xl": "encoder.LayerNorm",
    "esm": "encoder.emb_layer_norm_after",
    "gpt2": "ln_f",
    "opt": "decoder.final_layer_norm",
    "biogpt": "layer_norm",
    "roberta-prelayernorm": "LayerNorm",
    "llama": "norm",
    "qwen2": "norm",
}
"""Parts of the base model that run after the layers, except a pooler."""


@pytest.fixture(scope="module")
def folders(tiny_bert: str, encoders: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A tiny random encoder of each kind."""
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert)
    made = dict(encoders)
    for kind, config in MORE.items():
        torch.manual_seed(0)
        made[kind] = str(tmp_path_factory.mktemp(kind))
        AutoModel.from_config(config(len(tokenizer))).save_pretrained(made[kind])
        tokenizer.save_pretrained(made[kind])
    return made


@pytest.fixture(params=[*KINDS, *MORE])
def folder(request: pytest.FixtureRequest, folders: dict[str, str]) -> str:
    return folders[request.param]


@pytest.fixture
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.node.callspec.params["folder"]
    return name


def names_that_train(model: PreTrainedModel, kind: str, count: int) -> set[str]:
    """Return the weights that should train: all, or the upper layers, the modules after them and the head."""
    names = {name for name, _ in model.named_parameters()}
    if not count:
        return names
    upper = {id(p) for layer in layers_of(model)[count:] for p in layer.parameters()}
    above = tuple(f"{model.base_model_prefix}.{name}." for name in ("pooler", ABOVE.get(kind, "pooler")))
    return head_names(model) | {
        name for name, p in model.named_parameters() if id(p) in upper or name.startswith(above)
    }


def test_the_longest_sequence_that_is_allowed_goes_through(folder: str) -> None:
    longest = min(read_limits(folder).positions, 100)
    ids = torch.full((1, longest), 7)
    assert new_model(folder, HEAD, seed=0).eval()(input_ids=ids, attention_mask=ids // 7).logits.shape == (1, 3)


@pytest.mark.parametrize("pooling", ["first", "mean"])
def test_the_output_layer_gives_the_logits_and_follows_the_order_of_the_labels(folder: str, pooling: str) -> None:
    """Some classes define the head before the encoder."""
    batch = {"input_ids": torch.arange(5, 13)[None], "attention_mask": torch.ones(1, 8, dtype=torch.int64)}
    model = new_model(folder, HEAD, seed=0, pooling=pooling).eval()
    seen: list[torch.Tensor] = []
    output_layer(model)[1].register_forward_hook(lambda _, __, output: seen.append(output))
    logits = model(**batch).logits
    assert any(torch.equal(logits[0], row) for row in seen[-1].reshape(-1, len(LABELS)))
    source = TrainedSource({n: p.detach() for n, p in model.named_parameters()}, HEAD, {})
    other = new_model(folder, CLASSIFICATION.head(LABELS[::-1]), seed=1, pooling=pooling).eval()
    assert transfer(source, other, CLASSIFICATION.head(LABELS[::-1]), "keep")
    torch.testing.assert_close(other(**batch).logits, logits.flip(-1))


@pytest.mark.parametrize(("count", "pooling"), [(0, "first"), (2, "mean")])
def test_a_head_that_begins_as_a_regression_trains_on(
    folder: str, count: int, pooling: str, base: dict[str, Any], workspace: Workspace
) -> None:
    sampled = {"pooling": pooling, "target.head": "probe", "target.frozen_layers": count, "target.learning_rate": 1e-5}
    trial = Trial(build_config({**base, "encoder": folder}, sampled), workspace)
    reports = trial.reports()
    assert next(reports).step == 0
    target = trial._target
    assert target is not None
    head = output_layer(target.model)[1]
    read = torch.from_numpy(head_features(target, target.steps.train)).float()
    logits = compute_logits(target.steps.network, target.steps.train.inputs, torch.device("cpu"))
    torch.testing.assert_close(head(read), logits, rtol=1e-3, atol=1e-3)
    assert list(reports)[-1].last


@pytest.mark.parametrize("count", range(1, DEPTH + 1))
def test_frozen_layers_drop_nothing(folder: str, count: int) -> None:
    model = new_model(folder, HEAD, seed=0, dropout=0.5)
    train_mode(model, freeze(model, count))
    seen: list[torch.Tensor] = []

    inner = next(
        m
        for m in reversed(list(layers_of(model)[count - 1].modules()))
        if any(True for _ in m.parameters(recurse=False))
    )
    inner.register_forward_hook(lambda _, __, output: seen.append(output))
    for _ in range(3):
        model(input_ids=torch.arange(5, 13)[None], attention_mask=torch.ones(1, 8, dtype=torch.int64))
    for states in seen[1:]:
        torch.testing.assert_close(states, seen[0], rtol=0, atol=0)


@pytest.mark.parametrize("count", range(DEPTH + 1))
def test_exactly_the_weights_above_the_frozen_layers_train(folder: str, kind: str, count: int) -> None:
    model = new_model(folder, HEAD, seed=0)
    freeze(model, count)
    assert {n for n, p in model.named_parameters() if p.requires_grad} == names_that_train(model, kind, count)
    if count:  # nothing is read for this, not even a weight
        assert trained_weights(folder, count) == trained_weights_of(folder, count)


def test_pooled_models_freeze_the_same_layers(folder: str, kind: str) -> None:
    """Freezing and counting do not depend on the head, and no weight of a pooler is left."""
    ids, mask = torch.arange(5, 13)[None], torch.ones(1, 8, dtype=torch.int64)
    for count in (0, 2, DEPTH):
        model = new_model(folder, CLASSIFICATION.head(("a", "b")), seed=0, dropout=0.5, pooling="mean")
        frozen = freeze(model, count)
        trains = {name for name, p in model.named_parameters() if p.requires_grad}
        assert trains == names_that_train(model, kind, count)
        if count:
            size = sum(p.numel() for name, p in model.named_parameters() if name in trains)
            assert trained_weights(folder, count, "mean") == size
        train_mode(model, frozen)
        seen: list[torch.Tensor] = []
        if count:
            layers_of(model)[count - 1].register_forward_hook(
                lambda _, __, out, seen=seen: seen.append(out[0] if isinstance(out, tuple) else out)
            )
        for _ in range(2):
            assert model(input_ids=ids, attention_mask=mask).logits.shape == (1, 2)
        assert not seen or torch.equal(*seen)


def test_counting_weights_reads_and_draws_none(tiny_bert: str) -> None:
    state = torch.get_rng_state()
    assert sum(p.untyped_storage().nbytes() for p in model_without_weights(tiny_bert).parameters()) < 1000
    assert torch.equal(torch.get_rng_state(), state)


def trained_weights_of(folder: str, count: int) -> int:
    model = new_model(folder, CLASSIFICATION.head(("a", "b")), seed=0)
    freeze(model, count)
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def test_looking_at_an_encoder_leaves_it_and_all_draws_as_they_were(folder: str) -> None:
    model = new_model(folder, HEAD, seed=0).train()
    state, modes = torch.get_rng_state(), {name: module.training for name, module in model.named_modules()}
    encoder_parts(model)
    assert torch.equal(torch.get_rng_state(), state)
    assert {name: module.training for name, module in model.named_modules()} == modes


def trial_of(base: dict[str, Any], folder: str, workspace: Workspace, **sampled: Any) -> Trial:
    names = {f"target.{name}": value for name, value in sampled.items()}
    config = build_config(
        {**base, "encoder": folder}, {"target.epochs": 2, "target.evaluations_per_epoch": 100, **names}
    )
    return Trial(config, workspace)


def losses(trial: Trial) -> list[float]:
    """The losses of training and validation at every optimiser step."""
    seen = [r.metrics for r in trial.reports() if "target.train.loss" in r.metrics]
    return [metrics[f"target.{name}.loss"] for name in ("train", "validation") for metrics in seen]


@pytest.mark.slow
@pytest.mark.parametrize("pooling", ["first", "mean", "max"])
@pytest.mark.parametrize("count", range(DEPTH + 1))
def test_no_shortcut_changes_a_loss_and_the_frozen_weights_stay(
    folder: str, kind: str, count: int, pooling: str, base: dict[str, Any], workspace: Workspace, tmp_path: Path
) -> None:
    base = {**base, "pooling": pooling}
    settings = {"frozen_layers": count, "dropout": 0.0, "padding_length": 16}
    plain_workspace = replace(workspace, reuse_frozen=False)
    no_words = patch("trainable.model.vocabulary.LARGEST_SHARE", 0.0)
    with no_words, patch("trainable.loop.training.first_token_alone", lambda m: m):
        plain = losses(trial_of(base, folder, plain_workspace, **settings))
    fast = trial_of(base, folder, workspace, **settings)
    assert losses(fast) == pytest.approx(plain, rel=2e-5, abs=2e-6)
    assert fast._target is not None
    trained, before = (
        fast._target.model,
        dict(new_model(folder, HEAD, 0, 0.0, pooling).named_parameters()),
    )
    moved = {name for name, p in trained.named_parameters() if not torch.equal(p.cpu(), before[name])}
    assert moved <= names_that_train(trained, kind, count)
    assert any(name in moved for name in head_names(trained))

    # What was saved is the model that was scored.
    (tmp_path / "saved").mkdir()
    fast.save(tmp_path / "saved")
    loaded, _ = load_trained(tmp_path / "saved")
    assert all(torch.equal(p, dict(loaded.named_parameters())[name]) for name, p in trained.named_parameters())


@pytest.mark.slow
@pytest.mark.parametrize(("count", "pooling"), [(0, "first"), (2, "first"), (2, "mean"), (DEPTH, "max")])
def test_a_resumed_trial_ends_as_one_that_was_not_interrupted(
    folder: str, count: int, pooling: str, base: dict[str, Any], workspace: Workspace, tmp_path: Path
) -> None:
    base = {**base, "pooling": pooling}
    settings = {"frozen_layers": count, "padding_length": 16, "evaluations_per_epoch": 1}
    whole = losses(trial_of(base, folder, workspace, **settings))
    begun = trial_of(base, folder, workspace, **settings)
    next(r for r in begun.reports() if "target.train.loss" in r.metrics)
    begun.save(tmp_path)
    resumed = Trial(begun.config, workspace, tmp_path)
    assert losses(resumed) == pytest.approx([whole[1], whole[3]], rel=1e-6)


def test_one_seed_gives_one_number_where_a_pooler_is_missing(
    tiny_bert: str, base: dict[str, Any], workspace: Workspace, tmp_path: Path
) -> None:
    AutoModel.from_pretrained(tiny_bert, add_pooling_layer=False).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(tiny_bert).save_pretrained(tmp_path)
    torch.manual_seed(1)
    first = losses(trial_of(base, str(tmp_path), workspace))
    torch.manual_seed(2)
    new_model.__globals__["_pristine"].cache_clear()  # as in another process
    assert losses(trial_of(base, str(tmp_path), workspace)) == first
    poolers = [new_model(str(tmp_path), HEAD, seed).bert.pooler.dense.weight for seed in (0, 0, 1)]
    assert torch.equal(poolers[0], poolers[1])
    assert not torch.equal(poolers[0], poolers[2])


def test_a_weight_that_trains_below_turns_the_cache_off_and_says_so(base: dict[str, Any], workspace: Workspace) -> None:
    plain = losses(trial_of(base, base["encoder"], replace(workspace, reuse_frozen=False), frozen_layers=2))

    def leaky(model: PreTrainedModel, count: int) -> list[torch.nn.Module]:
        frozen = freeze(model, count)
        model.base_model.embeddings.LayerNorm.requires_grad_(True)
        return frozen

    with patch("trainable.model.stage_weights.freeze", leaky):
        leaking = losses(trial_of(base, base["encoder"], replace(workspace, reuse_frozen=False), frozen_layers=2))
        trial = trial_of(base, base["encoder"], workspace, frozen_layers=2)
        reports = list(trial.reports())
    assert leaking != plain
    assert [r.metrics["target.train.loss"] for r in reports if r.metrics] == leaking[: len(leaking) // 2]
    assert "LayerNorm" in reports[-1].notes[0]


def test_a_weight_that_is_read_below_without_a_call_turns_the_cache_off(
    base: dict[str, Any], workspace: Workspace
) -> None:
    """The pooler runs after the layers, but here the embeddings read its bias."""

    def tied(model: PreTrainedModel, count: int) -> list[torch.nn.Module]:
        bias = model.base_model.pooler.dense.bias
        model.base_model.embeddings.register_forward_hook(lambda _, __, states: states + bias)
        return freeze(model, count)

    with patch("trainable.model.stage_weights.freeze", tied):
        plain = losses(trial_of(base, base["encoder"], replace(workspace, reuse_frozen=False), frozen_layers=2))
        trial = trial_of(base, base["encoder"], workspace, frozen_layers=2)
        assert losses(trial) == plain
    assert "pooler.dense.bias" in trial.builder.clock.notes[0]


@pytest.mark.parametrize("kind", ["fnet", "convbert"])
def test_an_output_that_depends_on_padding_is_not_reused(
    kind: str, folders: dict[str, str], base: dict[str, Any], workspace: Workspace
) -> None:
    settings = {"frozen_layers": DEPTH, "padding_length": 60}  # texts of different lengths
    plain = losses(trial_of(base, folders[kind], replace(workspace, reuse_frozen=False), **settings))
    trial = trial_of(base, folders[kind], workspace, **settings)
    assert losses(trial) == plain
    assert "is not reused" in trial.builder.clock.notes[0]


def test_a_head_that_reads_the_last_token_finds_it_whatever_padding_the_configuration_names(
    tiny_bert: str, tmp_path: Path
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert)
    config = MORE["gpt2"](len(tokenizer))
    config.pad_token_id = 7
    AutoModel.from_config(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    model = new_model(str(tmp_path), HEAD, 0).eval()
    alone, padded = (tokenizer(["good film", *more], padding=True, return_tensors="pt") for more in ([], ["a " * 9]))
    with torch.no_grad():
        expected, found = (model(b["input_ids"], attention_mask=b["attention_mask"]).logits for b in (alone, padded))
    torch.testing.assert_close(found[0], expected[0])


def test_an_output_that_changes_while_training_turns_the_cache_off_and_says_so(
    base: dict[str, Any], workspace: Workspace
) -> None:
    """A state that is no weight, such as a running mean, moves in the first training step."""

    class Drifting(torch.nn.Module):
        def __init__(self, inner: torch.nn.Module) -> None:
            super().__init__()
            self.inner, self.moved = inner, False

        def forward(self, states: torch.Tensor, *others: Any, **more: Any) -> Any:
            return self.inner(states.flip(-1) if self.moved else states, *others, **more)

    def drift(model: PreTrainedModel, count: int) -> list[torch.nn.Module]:
        frozen = freeze(model, count)
        layers = layers_of(model)
        layers[0] = Drifting(layers[0])
        head = model.classifier
        head.register_full_backward_hook(lambda *_: setattr(layers[0], "moved", True))
        return frozen

    def run(reuse: bool) -> Trial:
        return trial_of(base, base["encoder"], replace(workspace, reuse_frozen=reuse), frozen_layers=2, dropout=0.0)

    with patch("trainable.model.stage_weights.freeze", drift):
        plain = losses(run(False))
        trial = run(True)
        assert losses(trial) == pytest.approx(plain, rel=1e-5)
    assert "changes while the stage trains" in trial.builder.clock.notes[0]


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (transformers.AlbertModel(transformers.AlbertConfig(vocab_size=99, **COMMON)), "shares weights between layers"),
        (
            transformers.FunnelBaseModel(
                transformers.FunnelConfig(vocab_size=99, d_model=32, n_head=2, d_head=16, d_inner=64)
            ),
            "does not say its number of layers and positions",
        ),
        (
            transformers.FlaubertModel(
                transformers.FlaubertConfig(vocab_size=99, emb_dim=32, n_layers=2, n_heads=2, pad_index=0)
            ),
            "has 4 lists of 2 modules",
        ),
    ],
    ids=["albert", "funnel", "flaubert"],
)
def test_layers_that_cannot_be_identified_give_one_message_with_the_encoder(
    model: PreTrainedModel, reason: str, tmp_path: Path, tiny_bert: str
) -> None:
    model.save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(tiny_bert).save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match=reason) as caught:
        checked_limits(str(tmp_path))
    (problem,) = caught.value.problems
    assert str(tmp_path) in problem
