"""A trial that encodes the texts of a pair apart: its logits, its stages, its checkpoints, and what it refuses."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer

from trainable.baselines.compute import compute_baselines
from trainable.baselines.features import frozen_config
from trainable.baselines.results import BaselineFolder
from trainable.checkpoint import load_trained
from trainable.errors import ConfigError
from trainable.model.encoder import new_model
from trainable.model.pooled import BiEncoderClassifier, pooling_of
from trainable.model.pooling import features_pooling
from trainable.progress import Report
from trainable.settings.config import TrialConfig, build_config
from trainable.stages.stage_builder import StageBuilder
from trainable.tasks.classification import CLASSIFICATION
from trainable.trial import Trial, run_trial
from trainable.workspace import Workspace


@pytest.fixture(scope="module")
def pairs_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs that are equal or differ: only a comparison of the two texts tells which."""
    words = ["film", "story", "good", "bad", "long", "time", "love", "life"]
    texts = [f"{a} {b}" for a in words for b in words]
    rows = [*zip(texts, texts[::-1], strict=True), *zip(texts, texts, strict=True)]
    lines = [f"{a},{b},{'same' if a == b else 'other'}" for a, b in rows]
    file = tmp_path_factory.mktemp("pairs") / "pairs.csv"
    file.write_text("\n".join(["text_a,text_b,label", *lines]))
    return file


@pytest.fixture
def config(base: dict[str, Any], pairs_csv: Path) -> TrialConfig:
    target = {"dataset": {"csv": str(pairs_csv)}, "dropout": 0.0, "epochs": 3}
    base["target"] |= target
    return build_config({**base, "pooling": "bi_encoder"})


def numbers(config: TrialConfig, workspace: Workspace, **more: Any) -> list[Report]:
    reports: list[Report] = []
    run_trial(config, lambda report: reports.append(report) is None, workspace=workspace, **more)
    return reports


def test_the_head_reads_what_the_two_vectors_have_in_common(minilm: str) -> None:
    from sentence_transformers import SentenceTransformer

    first, second = ["a man eats", "it rains"], ["somebody has a meal", "the sun shines all day long"]
    model = new_model(minilm, CLASSIFICATION.head(("a", "b", "c")), seed=0, pooling="bi_encoder").eval()
    assert isinstance(model, BiEncoderClassifier) and pooling_of(model) == "bi_encoder"
    tokenizer = AutoTokenizer.from_pretrained(minilm)
    theirs = SentenceTransformer(minilm, device="cpu")
    theirs.pop(2)  # the module that makes the vectors' length 1
    u, v = (theirs.encode(texts, convert_to_tensor=True) for texts in (first, second))
    with torch.no_grad():
        expected = model.head(torch.cat([u, v, (u - v).abs(), u * v], dim=1))
        found = model(**tokenizer([*first, *second], padding=True, return_tensors="pt")).logits
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_a_trial_is_loaded_and_resumed_as_it_was(config: TrialConfig, workspace: Workspace, tmp_path: Path) -> None:
    trial = Trial(config, workspace)
    reports = []
    for report in trial.reports():
        reports.append(report)
        if len(reports) == 2:
            (tmp_path / "half").mkdir()
            trial.save(tmp_path / "half")
    assert numbers(config, workspace, resume=tmp_path / "half", save_to=tmp_path / "end") == reports[2:]
    model, loaded = load_trained(tmp_path / "end")
    assert loaded.pooling == "bi_encoder"
    for name, tensor in trial._target.model.state_dict().items():  # type: ignore[union-attr]
        torch.testing.assert_close(model.state_dict()[name], tensor)


def test_parts_of_a_batch_and_a_cut_vocabulary_give_the_same_numbers(
    config: TrialConfig, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def losses(config: TrialConfig) -> list[float]:
        return [report.metrics["target.validation.loss"] for report in numbers(config, workspace)]

    whole = losses(config)
    assert losses(config.model_copy(update={"micro_batches": 3})) == pytest.approx(whole, rel=1e-4)
    monkeypatch.setattr("trainable.model.vocabulary.LARGEST_SHARE", 0.0)
    assert losses(config) == pytest.approx(whole, rel=1e-4)


def test_frozen_layers_are_computed_again_and_a_note_says_why(config: TrialConfig, workspace: Workspace) -> None:
    frozen = config.model_copy(update={"target": config.target.model_copy(update={"frozen_layers": 2})})
    notes = numbers(frozen, workspace)[-1].notes
    assert any("`pooling: bi_encoder` encodes two texts for each row" in note for note in notes)


def test_a_source_of_single_texts_gives_its_encoder(
    base: dict[str, Any], config: TrialConfig, workspace: Workspace
) -> None:
    trial = Trial(build_config({**base, "pooling": "bi_encoder"}, {"source.enabled": True}), workspace)
    assert next(trial.reports()).stage == "source"
    list(trial.reports())
    assert trial._source is not None and trial._target is not None
    assert trial._source.weights["head.weight"].shape == (2, 32)
    assert trial._target.model.get_parameter("head.weight").shape == (2, 128)


def test_keep_needs_pairs_in_both_stages(base: dict[str, Any], pairs_csv: Path, tmp_path: Path) -> None:
    text = pairs_csv.read_text().replace("same", "positive").replace("other", "negative")
    (tmp_path / "pairs.csv").write_text(text)
    base["target"] |= {"dataset": {"csv": str(tmp_path / "pairs.csv")}, "head": "keep"}
    config = build_config({**base, "pooling": "bi_encoder"}, {"source.enabled": True})
    with pytest.raises(ConfigError, match=r"target.head: 'keep' needs the same kind of head"):
        numbers(config, Workspace(tmp_path / "cache"))


def test_features_of_pairs_are_those_of_the_texts_apart(
    config: TrialConfig, workspace: Workspace, tmp_path: Path, tiny_bert: str
) -> None:
    assert features_pooling(tiny_bert, pairs=True) == "bi_encoder"
    assert frozen_config(config, 3).pooling == "bi_encoder"
    folder = BaselineFolder(tmp_path / "baselines")
    compute_baselines(config, workspace, folder, folds=1, refit=False)
    results = {result.name: result for result in folder.read()}
    assert results["features"].error is None
    # Whether two texts are the same shows in |u - v|, not in a random encoder's reading of both.
    joint = BaselineFolder(tmp_path / "joint")
    compute_baselines(config.model_copy(update={"pooling": "mean"}), workspace, joint, folds=1, refit=False)
    other = next(result for result in joint.read() if result.name == "features")
    assert results["features"].metrics["accuracy"] > max(0.8, other.metrics["accuracy"])
    model, _ = load_trained(folder.checkpoint("features"))
    assert isinstance(model, BiEncoderClassifier)


def test_the_pace_of_a_batch_counts_both_texts(config: TrialConfig, workspace: Workspace) -> None:
    builder = StageBuilder(config, workspace)
    train, _ = builder.splits(builder.tokenized("target", config.target), config.target)
    assert train.inputs.lengths.min() >= 2 * 4
