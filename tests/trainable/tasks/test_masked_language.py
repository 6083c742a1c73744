"""Masked language modelling as a source: what it learns, what moves to the target, and that a resume is exact."""

import math
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForMaskedLM, AutoTokenizer

from trainable.checkpoint import load_trained
from trainable.errors import ConfigError
from trainable.settings.config import TrialConfig, build_config
from trainable.stages.stage_builder import StageBuilder
from trainable.stages.stage_cache import load_source
from trainable.tasks.registry import read_splits
from trainable.trial import Trial, run_trial
from trainable.workspace import Workspace


@pytest.fixture
def settings(base: dict[str, Any], films_csv: Path, tmp_path: Path) -> dict[str, Any]:
    """Films without labels, one on each line; then tweets."""
    lines = [line.rpartition(",")[0] for line in films_csv.read_text(encoding="utf-8").splitlines()[1:]]
    (tmp_path / "films.txt").write_text("\n\n".join(lines) + "\n", encoding="utf-8")
    data = {"task": "masked_language", "train": str(tmp_path / "films.txt")}
    return {**base, "source": {**base["source"], "enabled": True, "dataset": data}}


def source(settings: dict[str, Any], **changes: Any) -> TrialConfig:
    return build_config({**settings, "source": {**settings["source"], **changes}})


def metrics(config: TrialConfig, workspace: Workspace, **kwargs: Any) -> dict[str, float]:
    return run_trial(config, lambda _: True, workspace=workspace, **kwargs).metrics


@pytest.mark.parametrize("pooling", ["first", "mean"])
def test_it_learns_and_moves_the_encoder_to_the_target(
    pooling: str, settings: dict[str, Any], workspace: Workspace, tmp_path: Path
) -> None:
    target = {**settings["target"], "frozen_layers": 3, "epochs": 1}
    config = source({**settings, "pooling": pooling, "target": target}, epochs=3, learning_rate=5e-3)
    trial = Trial(config, workspace)
    reports = list(trial.reports())
    (tmp_path / "frozen").mkdir()
    trial.save(tmp_path / "frozen")
    losses = [r.metrics["source.validation.loss"] for r in reports if "source.validation.loss" in r.metrics]
    assert losses[-1] < losses[0] - 0.2
    model, _ = load_trained(tmp_path / "frozen")
    (folder,) = (workspace.cache / "stages").iterdir()
    trained, prefix = load_source(folder).weights, f"{model.base_model_prefix}."
    body = {n.removeprefix(prefix): p for n, p in model.named_parameters() if n.startswith(prefix)}
    moved = {name for name, p in body.items() if f"bert.{name}" in trained and p.equal(trained[f"bert.{name}"])}
    assert {name for name in body if not name.startswith("pooler")} <= moved


def test_a_resumed_stage_ends_as_an_uninterrupted_one(
    settings: dict[str, Any], workspace: Workspace, tmp_path: Path
) -> None:
    config = source(settings, schedule="constant", epochs=2, train_rows=64)
    whole = metrics(config, workspace)
    other = Workspace(tmp_path / "other")
    trial = Trial(config, other)
    for report in trial.reports():
        if report.stage == "source" and report.epoch >= 1:
            break
    assert metrics(config, other) == whole


def test_parts_of_a_batch_give_its_mean_over_hidden_tokens(settings: dict[str, Any], workspace: Workspace) -> None:
    losses = []
    for parts in (1, 3):
        config = source({**settings, "micro_batches": parts}, dropout=0.0, epochs=1, train_rows=64)
        losses.append(metrics(config, workspace)["source.validation.loss"])
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)


def test_the_head_is_that_of_the_encoder_s_folder(
    settings: dict[str, Any], workspace: Workspace, tmp_path: Path
) -> None:
    config = source(settings)
    whole = AutoModelForMaskedLM.from_pretrained(config.encoder)
    whole.save_pretrained(tmp_path / "whole")
    AutoTokenizer.from_pretrained(config.encoder).save_pretrained(tmp_path / "whole")
    for encoder, notes in ((config.encoder, 1), (str(tmp_path / "whole"), 0)):
        builder = StageBuilder(config.model_copy(update={"encoder": encoder}), workspace)
        assert builder.config.source is not None
        model, _ = builder.model(builder.tokenized("source", builder.config.source), builder.config.source)
        assert len(builder.clock.notes) == notes
    weights = dict(whole.named_parameters())
    assert all(p.equal(weights[name]) for name, p in model.named_parameters())


@pytest.fixture
def documents(settings: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    """Twenty documents of six sentences. A document is about one letter, so that it can be told what follows."""
    lines = [f"{d},{chr(97 + d % 4)} {chr(97 + i)} {chr(97 + d % 4)}" for d in range(20) for i in range(6)]
    (tmp_path / "pages.csv").write_text("\n".join(["page,text", *lines]), encoding="utf-8")
    data = {"task": "masked_language", "csv": str(tmp_path / "pages.csv"), "group": "page", "next_sentence": True}
    return {**settings["source"], "dataset": {**data, "max_overlap": 1}}


def test_next_sentences_are_learned_beside_hidden_tokens_and_the_encoder_moves(
    settings: dict[str, Any], documents: dict[str, Any], workspace: Workspace
) -> None:
    how = {"epochs": 2, "batch_size": 8, "dropout": 0.0}
    config = source(settings, **{**documents, **how})
    assert config.source is not None
    trial = Trial(config, workspace)
    reports = list(trial.reports())
    scores = next(r.metrics for r in reports if "source.validation.loss" in r.metrics)
    assert 0 <= scores["source.validation.next_accuracy"] <= 1
    assert scores["source.validation.loss"] > math.log(scores["source.validation.perplexity"])
    (folder,) = (workspace.cache / "stages").iterdir()
    trained = load_source(folder)
    assert (trained.head.reads, trained.weights["next_sentence.weight"].shape) == ("masked_pairs", (1, 32))
    assert trial._target is not None
    assert not any(name.startswith("next_sentence") for name, _ in trial._target.model.named_parameters())
    parts = metrics(config.model_copy(update={"micro_batches": 3}), workspace)
    assert parts["source.validation.loss"] == pytest.approx(trained.metrics["source.validation.loss"], abs=1e-4)


def test_what_next_sentence_needs(settings: dict[str, Any], documents: dict[str, Any], films_csv: Path) -> None:
    for change, words in (
        ({"group": None}, r"source\.dataset\.next_sentence: needs the column with the document"),
        ({"task": "classification"}, r"source\.dataset\.next_sentence: only `task: masked_language`"),
        ({"text_b": "page"}, r"source\.dataset\.text_b: next_sentence makes the pairs itself"),
    ):
        with pytest.raises(ConfigError, match=words):
            source(settings, **{**documents, "dataset": documents["dataset"] | change})
    data = {"task": "masked_language", "csv": str(films_csv), "group": "label", "next_sentence": True}
    config = source(settings, dataset=data)
    assert config.source is not None
    with pytest.raises(ConfigError, match="next_sentence needs two documents in the train rows"):
        read_splits(config.dataset_of(config.source))


def test_it_cannot_be_the_target(settings: dict[str, Any]) -> None:
    data = settings["source"]["dataset"]
    with pytest.raises(ConfigError, match=r"target.dataset: the task masked_language .* the target needs labels"):
        build_config({**settings, "target": {**settings["target"], "dataset": data}})


def test_a_table_needs_no_label_column(settings: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "texts.csv").write_text("review\n" + "\n".join(f"text {i}" for i in range(40)), encoding="utf-8")
    data = {"task": "masked_language", "csv": str(tmp_path / "texts.csv"), "text": "review"}
    config = source(settings, dataset=data)
    assert config.source is not None
    splits = read_splits(config.dataset_of(config.source))
    assert (len(splits.train) + len(splits.validation), splits.label_names) == (36, ())
