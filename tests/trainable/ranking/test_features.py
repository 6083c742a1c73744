"""The features of a ranking are those that the encoder gives, before or after a short source stage."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from trainable.ranking.effort import Effort
from trainable.ranking.features import target_features
from trainable.settings.config import TrialConfig, build_config
from trainable.trial import run_trial
from trainable.workspace import Workspace

EFFORT = Effort(source_rows=32, target_rows=20)


@pytest.fixture
def config(tiny_bert: str, films_csv: Path, tweets_csv: Path) -> TrialConfig:
    source = {"dataset": {"csv": str(films_csv)}, "learning_rate": 1e-3, "padding_length": 24, "epochs": 3}
    target = {"dataset": {"csv": str(tweets_csv)}, "padding_length": 24}
    blocks: dict[str, Any] = {"encoder": tiny_bert, "source": source, "target": target, "pooling": "mean"}
    return build_config(blocks)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "cache")


def without_source(config: TrialConfig) -> TrialConfig:
    return config.model_copy(update={"source": None})


def test_without_a_source_they_are_the_pooled_tokens(
    config: TrialConfig, workspace: Workspace, tiny_bert: str, tweets_csv: Path
) -> None:
    found = target_features(without_source(config), workspace, EFFORT)
    texts = [line.rpartition(",")[0].strip('"') for line in tweets_csv.read_text(encoding="utf-8").splitlines()[1:]]
    model, tokenizer = AutoModel.from_pretrained(tiny_bert).eval(), AutoTokenizer.from_pretrained(tiny_bert)
    expected = []
    with torch.inference_mode():
        for text in texts:
            inputs = tokenizer(text.replace('""', '"'), truncation=True, max_length=24, return_tensors="pt")
            expected.append(model(**inputs).last_hidden_state[0].mean(0).numpy())
    # few rows: each labelled row is used, those held out for validation, too
    nearest = [np.abs(np.array(expected) - row).max(1).min() for row in found.features]
    assert len(found.features) == len(found.labels) > 50
    assert max(nearest) < 1e-2  # bfloat16 where the hardware has it
    assert found.source_scores == {}


def test_with_a_source_they_are_those_after_one_epoch_on_some_of_its_rows(
    config: TrialConfig, workspace: Workspace
) -> None:
    plain = target_features(without_source(config), workspace, EFFORT)
    found = target_features(config, workspace, EFFORT)
    assert found.features.shape == plain.features.shape
    assert np.abs(found.features - plain.features).max() > 0.01
    assert "source.validation.macro_f1" in found.source_scores
    # a trial with such a source finds it in the cache
    assert config.source is not None
    short = config.source.model_copy(update={"epochs": 1, "train_rows": 32})
    steps: list[int] = []
    trial = config.model_copy(update={"source": short})
    run_trial(trial, lambda report: bool(steps.append(report.step)), workspace=workspace)
    assert steps == [0]


def test_a_second_time_they_are_the_same_whatever_the_cache_has(config: TrialConfig, tmp_path: Path) -> None:
    first, cached, other = (
        target_features(config, Workspace(tmp_path / name), EFFORT).features for name in ("one", "one", "two")
    )
    assert np.array_equal(first, cached)
    assert np.array_equal(first, other)


def test_of_many_rows_some_are_used(config: TrialConfig, workspace: Workspace, films_csv: Path) -> None:
    halves = config.target.dataset.model_copy(update={"csv": None, "train": str(films_csv), "validation": None})  # type: ignore[union-attr]
    given = halves.model_copy(update={"validation": str(films_csv), "max_overlap": 1.0})
    target = config.target.model_copy(update={"dataset": given})
    trial = without_source(config).model_copy(update={"target": target})
    assert len(target_features(trial, workspace, EFFORT).labels) == 20
    fewer = trial.model_copy(update={"target": target.model_copy(update={"train_rows": 12})})
    assert len(target_features(fewer, workspace, EFFORT).labels) == 12


def test_the_labels_of_a_regression_are_grouped(config: TrialConfig, workspace: Workspace, tmp_path: Path) -> None:
    rows = [f"{'good ' * (i % 7)}film number {i},{i % 7 + i / 100}" for i in range(60)]
    (tmp_path / "numbers.csv").write_text("\n".join(["text,label", *rows]), encoding="utf-8")
    numbers = {"dataset": {"csv": str(tmp_path / "numbers.csv"), "task": "regression"}, "padding_length": 24}
    trial = build_config({"encoder": config.encoder, "target": numbers, "pooling": "mean"})
    found = target_features(trial, workspace, EFFORT)
    assert found.labels.dtype == np.int64
    assert 2 < len(set(found.labels.tolist())) < 20
