"""Sequence to sequence: what it learns, what moves to the target, that a resume is exact, and what is refused."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from task_trials import scores, scores_after_resume
from torch.nn import functional
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer
from writers import save_writer, translations

from trainable.checkpoint import load_trained
from trainable.compute.decoding import IGNORED
from trainable.compute.forward import TARGET_IDS, forward
from trainable.errors import ConfigError
from trainable.inputs.prepare import tokenized_dataset_of
from trainable.loop.evaluate import compute_logits
from trainable.model.encoder import checked_limits
from trainable.model.freezing import trained_weights
from trainable.model.limits import limit_problems
from trainable.settings.config import build_config
from trainable.settings.dataset import Dataset
from trainable.stages.stage_builder import StageBuilder
from trainable.tasks.registry import read_splits
from trainable.tasks.sequence_to_sequence import SEQUENCE_TO_SEQUENCE, TokenLoss
from trainable.trial import Trial
from trainable.workspace import Workspace

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def writers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return {kind: save_writer(kind, tmp_path_factory.mktemp(kind)) for kind in ("t5", "bart")}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return translations(tmp_path / "words.jsonl", 120)


def settings(encoder: str, file: Path, **target: Any) -> dict[str, Any]:
    data = {"task": "sequence_to_sequence", "json": str(file)}
    common = {"learning_rate": 5e-3, "batch_size": 8, "padding_length": 8, "target_length": 6, "epochs": 2}
    return {"encoder": encoder, "precision": "fp32", "target": {"dataset": data, **common, **target}}


def test_it_learns_and_its_checkpoint_gives_the_same(
    writers: dict[str, str], workspace: Workspace, tmp_path: Path
) -> None:
    file = translations(tmp_path / "words.jsonl", 240)
    config = build_config(settings(writers["bart"], file, epochs=8, num_beams=2))
    assert config.metric_of(config.target) == "chrf"
    found = scores(config, workspace, save_to=tmp_path / "trial")
    assert found["target.validation.chrf"] > 90 and found["target.validation.rouge1"] > 0.9
    model, _ = load_trained(tmp_path / "trial")
    split = tokenized_dataset_of(config, config.target, workspace).splits["validation"].for_stage(config.target)
    numbers = compute_logits(model, split.inputs, CPU)
    again = SEQUENCE_TO_SEQUENCE.scores(numbers, split.labels)
    assert again == pytest.approx({k.rpartition(".")[2]: v for k, v in found.items() if "validation" in k}, abs=1e-5)
    low, high = SEQUENCE_TO_SEQUENCE.interval(numbers, split.labels, "chrf")
    assert low <= again["chrf"] <= high
    assert SEQUENCE_TO_SEQUENCE.difference_interval(numbers, numbers, split.labels, "bleu") == (0, 0)


@pytest.mark.parametrize("kind", ["t5", "bart"])
def test_loss_and_texts_are_those_of_transformers(
    kind: str, writers: dict[str, str], workspace: Workspace, file: Path
) -> None:
    config = build_config(settings(writers[kind], file, num_beams=2, max_new_tokens=5, length_penalty=0.5))
    builder = StageBuilder(config, workspace)
    tokenized = builder.tokenized("target", config.target)
    model, _ = builder.model(tokenized, config.target)
    _, split = builder.splits(tokenized, config.target)
    batch = split.inputs.batch(torch.arange(4).numpy())
    ids = {name: batch[name] for name in ("input_ids", "attention_mask")}
    plain = AutoModelForSeq2SeqLM.from_pretrained(writers[kind]).eval()
    labels = batch[TARGET_IDS]
    with torch.inference_mode():
        outputs = forward(model.eval(), batch, CPU, "fp32")
        logits = plain(**ids, labels=labels).logits.flatten(0, 1)
        texts = plain.generate(**ids, num_beams=2, max_new_tokens=5, length_penalty=0.5)
    for smoothing in (0.0, 0.2):
        wanted = functional.cross_entropy(
            logits, labels.flatten(), ignore_index=IGNORED, label_smoothing=smoothing, reduction="sum"
        )
        assert TokenLoss(smoothing).sum(outputs, labels) == pytest.approx(float(wanted), rel=1e-5)
    assert outputs[:, 2].sum() == (labels != IGNORED).sum()
    assert outputs[:, 3 : 2 + texts.shape[1]].long().equal(texts[:, 1:])


def test_an_interrupted_run_ends_with_the_same_scores(
    writers: dict[str, str], workspace: Workspace, file: Path, tmp_path: Path
) -> None:
    config = build_config(settings(writers["t5"], file, label_smoothing=0.1))
    whole = scores(config, workspace)
    assert scores_after_resume(config, workspace, tmp_path / "half") == pytest.approx(whole, abs=1e-6)


def test_micro_batches_have_the_mean_over_the_target_tokens_of_the_batch(
    writers: dict[str, str], workspace: Workspace, file: Path
) -> None:
    one, several = (
        scores(build_config({**settings(writers["t5"], file, dropout=0.0, epochs=1), "micro_batches": n}), workspace)
        for n in (1, 3)
    )
    assert one["target.validation.loss"] == pytest.approx(several["target.validation.loss"], abs=1e-4)


@pytest.mark.parametrize("kind", ["t5", "bart"])
def test_frozen_layers_are_those_of_the_encoder(
    kind: str, writers: dict[str, str], workspace: Workspace, file: Path, tmp_path: Path
) -> None:
    config = build_config(settings(writers[kind], file, frozen_layers=2, epochs=1))
    trial = Trial(config, workspace)
    list(trial.reports())
    (tmp_path / "frozen").mkdir()
    trial.save(tmp_path / "frozen")
    model, _ = load_trained(tmp_path / "frozen")
    before = dict(AutoModelForSeq2SeqLM.from_pretrained(writers[kind]).named_parameters())
    changed = {name for name, p in model.named_parameters() if not p.equal(before[name])}
    assert changed and not any("shared" in n or "encoder.layers" in n or "encoder.block" in n for n in changed)
    assert trained_weights(writers[kind], 2) == sum(p.numel() for n, p in model.named_parameters() if n in changed)
    assert "the decoder reads the encoder's output" in trial.builder.clock.notes[0]
    assert scores(config, replace(workspace, reuse_frozen=False)) == trial.result().metrics


def test_a_source_moves_whole_to_the_target_and_its_scores_are_reported_before_the_first_step(
    writers: dict[str, str], workspace: Workspace, file: Path, tmp_path: Path
) -> None:
    given = settings(writers["t5"], file, epochs=1)
    other = {**given["target"]["dataset"], "json": str(translations(tmp_path / "other.jsonl", 80, seed=1))}
    config = build_config({**given, "source": {**given["target"], "dataset": other}})
    reports = list(Trial(config, workspace).reports())
    first = next(report.metrics for report in reports if report.stage == "target")
    assert "source.validation.chrf" in reports[0].metrics and "target.zero_shot.chrf" in first
    found = scores(config, workspace)
    assert found == scores(config, workspace) == scores(config, Workspace(tmp_path / "again"))  # cached, and not


def test_an_evaluation_uses_so_many_validation_rows(writers: dict[str, str], workspace: Workspace, file: Path) -> None:
    for given, rows in ((None, 29), (5, 5)):
        config = build_config(settings(writers["t5"], file, validation_rows=given))
        builder = StageBuilder(config, workspace)
        _, validation = builder.splits(builder.tokenized("target", config.target), config.target)
        assert len(validation.labels) == len(validation.inputs.lengths) == rows


def test_a_pair_of_columns_and_a_list_of_references(tmp_path: Path) -> None:
    rows = [{"text_a": f"a {i}", "text_b": [f"b {i}", f"c {i}"] if i % 2 else f"b {i}"} for i in range(40)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    data = {"task": "sequence_to_sequence", "json": str(tmp_path / "rows.jsonl"), "text": "text_a"}
    splits = read_splits(Dataset(**data, target_column="text_b"))
    assert splits.train.text_b is None
    assert {len(texts) for texts in splits.train.labels} == {1, 2}


@pytest.mark.parametrize(
    ("cell", "problem"),
    [
        ("", r"row with no target text in column 'target', the first on line 8; fill or remove"),
        ([], r"no target text in column 'target'"),
        (["Hund", 3], r"a list with something else than texts in column 'target', the first on line 8: \['Hund', 3\]"),
        (7, r"something else than text in column 'target', the first on line 8: 7 \(int\)"),
    ],
)
def test_a_wrong_target_is_an_error_with_its_line(cell: Any, problem: str, file: Path) -> None:
    lines = file.read_text(encoding="utf-8").splitlines()
    lines[7] = json.dumps({"text": "red", "target": cell})
    file.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(ConfigError, match=problem):
        read_splits(Dataset(task="sequence_to_sequence", json=str(file)))


def test_models_with_and_without_a_decoder_are_told_apart(
    writers: dict[str, str], tiny_bert: str, file: Path, films_csv: Path
) -> None:
    plain = settings(tiny_bert, file)
    (problem,) = limit_problems(plain, checked_limits(tiny_bert))
    assert "target.dataset: the task sequence_to_sequence needs an encoder with a decoder" in problem
    films = {**settings(writers["t5"], file), "target": {"dataset": {"csv": str(films_csv)}}}
    (problem,) = limit_problems(films, checked_limits(writers["t5"]))
    assert "only `task: sequence_to_sequence` can use it" in problem
    longer = settings(writers["bart"], file, target_length=65, max_new_tokens=64)
    assert len(limit_problems(longer, checked_limits(writers["bart"]))) == 2


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"tuning": "lora"}, "target.tuning: the task sequence_to_sequence trains the whole model"),
        ({"head": "probe"}, "target.head: probe: the head of the task"),
        ({"objective": "contrastive"}, "target.objective: contrastive needs one class"),
        ({"layer_decay": 0.9}, "target.layer_decay"),
        ({"class_weights": "balanced"}, "target.class_weights"),
        ({"focal_gamma": 2}, "target.focal_gamma"),
    ],
)
def test_settings_without_a_meaning_are_refused(changed: dict[str, Any], problem: str, file: Path) -> None:
    with pytest.raises(ConfigError, match=problem):
        build_config(settings("some", file, **changed))


def test_settings_of_texts_need_the_task(base: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"target.num_beams: needs a task that generates texts"):
        build_config({**base, "target": {**base["target"], "num_beams": 2}})


def test_a_tokenizer_without_the_end_of_a_text_is_refused(
    writers: dict[str, str], file: Path, workspace: Workspace, tmp_path: Path
) -> None:
    AutoModelForSeq2SeqLM.from_pretrained(writers["t5"]).save_pretrained(tmp_path / "endless")
    tokenizer = AutoTokenizer.from_pretrained(writers["t5"])
    tokenizer.backend_tokenizer.post_processor = None
    tokenizer.save_pretrained(tmp_path / "endless")
    config = build_config(settings(str(tmp_path / "endless"), file))
    with pytest.raises(ConfigError, match="does not end a text with the token 1 at which the decoder stops"):
        tokenized_dataset_of(config, config.target, workspace)
