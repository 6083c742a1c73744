"""The head on pooled tokens gives what sentence-transformers computes, and a trial with it can be saved and loaded."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from trainable.checkpoint import load_trained
from trainable.model.encoder import check_runs, checked_limits, head_names, new_model
from trainable.model.freezing import trained_weights
from trainable.model.pooled import PooledClassifier, pool
from trainable.settings.config import build_config
from trainable.store.checksums import CHECKSUMS_FILE, write_checksums
from trainable.tasks.classification import CLASSIFICATION
from trainable.trial import Trial, run_trial
from trainable.workspace import Workspace

LABELS = ("negative", "neutral", "positive")
HEAD = CLASSIFICATION.head(LABELS)
each_pooling = pytest.mark.parametrize("pooling", ["mean", "max"])


@each_pooling
def test_padding_does_not_count(pooling: str) -> None:
    states = torch.randn(2, 5, 4) - 2  # so that zeros of the padding would be a maximum
    real = torch.tensor([[True] * 5, [False, False, True, True, False]])
    found = pool(states, real, pooling)
    for row, kept in zip(found, (states[0], states[1, 2:4]), strict=True):
        torch.testing.assert_close(row, kept.mean(0) if pooling == "mean" else kept.amax(0))
    assert pool(states.bfloat16(), real, pooling).dtype == torch.float32


@each_pooling
def test_the_logits_are_the_head_on_the_pooled_states(minilm: str, pooling: str) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    texts = ["A film about a lighthouse keeper that I would watch again.", "No."]
    tokenizer = AutoTokenizer.from_pretrained(minilm)
    model = new_model(minilm, HEAD, seed=0, pooling=pooling).eval()
    assert isinstance(model, PooledClassifier)
    theirs = SentenceTransformer(modules=[Transformer(minilm), Pooling(384, pooling)], device="cpu")
    embedded = theirs.encode(texts, convert_to_tensor=True)
    with torch.no_grad():
        expected, found = model.head(embedded), model(**tokenizer(texts, padding=True, return_tensors="pt")).logits
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_the_head_is_drawn_from_the_seed_and_the_encoder_is_the_stored_one(encoder: str) -> None:
    one, same, other = (new_model(encoder, HEAD, seed, pooling="mean") for seed in (1, 1, 2))
    assert head_names(one) == {"head.weight", "head.bias"}
    assert torch.equal(one.head.weight, same.head.weight)
    assert not torch.equal(one.head.weight, other.head.weight)
    stored = dict(AutoModel.from_pretrained(encoder).named_parameters())
    assert all(torch.equal(p, stored[name]) for name, p in one.encoder.named_parameters())
    assert one.config.id2label == dict(enumerate(LABELS))


def test_no_weight_of_an_unused_pooler_is_counted(tiny_bert: str) -> None:
    model = new_model(tiny_bert, CLASSIFICATION.head(("a", "b")), seed=0, pooling="mean")
    assert not [name for name, _ in model.named_parameters() if "pooler" in name]
    assert trained_weights(tiny_bert, 3, "mean") == sum(p.numel() for p in model.head.parameters())
    assert trained_weights(tiny_bert, 0, "mean") == sum(p.numel() for p in model.parameters())
    assert checked_limits(tiny_bert, "mean").depth == 3
    batch = {"input_ids": torch.full((2, 8), 7), "attention_mask": torch.ones(2, 8, dtype=torch.int64)}
    check_runs(tiny_bert, batch, 0, "mean")


@each_pooling
def test_a_finished_trial_is_loaded_as_it_was_scored(
    pooling: str, base: dict[str, Any], workspace: Workspace, tmp_path: Path
) -> None:
    folder = tmp_path / "saved"
    config = build_config({**base, "pooling": pooling}, {"source.enabled": True})
    trial = Trial(config, workspace)
    list(trial.reports())
    folder.mkdir()
    trial.save(folder)
    model, stored = load_trained(folder)
    assert isinstance(model, PooledClassifier)
    assert (model.pooling, stored.pooling) == (pooling, pooling)
    assert trial._target is not None
    expected = dict(trial._target.model.named_parameters())
    assert all(torch.equal(p, expected[name].cpu()) for name, p in model.named_parameters())


def test_a_checkpoint_of_a_version_without_the_setting_has_the_own_head(
    base: dict[str, Any], workspace: Workspace, tmp_path: Path
) -> None:
    run_trial(build_config(base), lambda _: True, workspace=workspace, save_to=tmp_path)
    facts = json.loads((tmp_path / "trial.json").read_text())
    assert facts["config"].pop("pooling") == "first"  # what `auto` means for this encoder
    (tmp_path / "trial.json").write_text(json.dumps(facts))
    (tmp_path / CHECKSUMS_FILE).unlink()
    write_checksums(tmp_path)
    model, config = load_trained(tmp_path)
    assert type(model).__name__ == "BertForSequenceClassification"
    assert config.pooling == "first"
