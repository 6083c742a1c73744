"""The baselines on real text: their scores are those of the stored models, and a second call computes nothing."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from trainable import build_config
from trainable.baselines import compute
from trainable.baselines.checkpoints import checkpoint_logits
from trainable.baselines.compute import compute_baselines
from trainable.baselines.regression import FoldPlan, outputs_of
from trainable.baselines.results import (
    INTERRUPTED,
    MOST_BEGINS,
    NAMES_BY_TASK,
    NEVER_WIN,
    BaselineFolder,
    BaselineResult,
)
from trainable.baselines.text_models import LabelledTexts, load_text_model, train_tfidf
from trainable.data.subset import subset
from trainable.errors import ConfigError
from trainable.inputs.folds import Fold
from trainable.settings.config import TrialConfig
from trainable.store.checksums import CHECKSUMS_FILE
from trainable.tasks.classification import CLASSIFICATION
from trainable.tasks.linear_head import UNSEEN, as_head
from trainable.tasks.registry import TASKS, read_splits
from trainable.workspace import Workspace


@pytest.fixture
def config(base: dict[str, Any]) -> TrialConfig:
    return build_config(base)


@pytest.fixture
def computed(config: TrialConfig, workspace: Workspace, tmp_path: Path) -> BaselineFolder:
    folder = BaselineFolder(tmp_path / "baselines")
    compute_baselines(config, workspace, folder, folds=1, refit=False)
    return folder


def test_each_baseline_has_the_scores_of_its_stored_model(
    computed: BaselineFolder, config: TrialConfig, workspace: Workspace
) -> None:
    labels = read_splits(config.dataset_of(config.target)).validation.labels
    results = computed.read()
    assert [result.name for result in results] == list(NAMES_BY_TASK["classification"])
    for result in results:
        logits = checkpoint_logits(computed.checkpoint(result.name), "validation", workspace)
        assert logits is not None
        assert CLASSIFICATION.scores(logits, labels) == pytest.approx(result.metrics)
        assert (result.error, result.rows) == (None, 42)


def test_the_rows_that_are_scored_are_those_of_trials(
    base: dict[str, Any], workspace: Workspace, tmp_path: Path
) -> None:
    config = build_config({**base, "target": {**base["target"], "validation_rows": 6}})
    folder = BaselineFolder(tmp_path / "baselines")
    compute_baselines(config, workspace, folder, folds=2, refit=False)
    validation = read_splits(config.dataset_of(config.target)).validation
    rows = subset(validation.strata, 6, 0)
    for result in folder.read():
        logits = checkpoint_logits(folder.checkpoint(result.name), "validation", workspace)
        assert logits is not None and len(logits) == len(validation)
        assert CLASSIFICATION.scores(logits[rows], validation.labels[rows]) == pytest.approx(result.metrics)


def test_a_baseline_that_is_done_is_not_computed_again(
    computed: BaselineFolder, config: TrialConfig, workspace: Workspace
) -> None:
    before = {file: file.stat().st_mtime_ns for file in computed.path.rglob("*")}
    compute_baselines(config, workspace, computed, folds=1, refit=False)
    assert {file: file.stat().st_mtime_ns for file in computed.path.rglob("*")} == before


def test_the_same_settings_give_the_same_models(
    computed: BaselineFolder, config: TrialConfig, workspace: Workspace, tmp_path: Path
) -> None:
    again = BaselineFolder(tmp_path / "again")
    compute_baselines(config, workspace, again, folds=1, refit=False)
    assert [result.metrics for result in again.read()] == [result.metrics for result in computed.read()]


def test_a_baseline_that_fails_is_a_result_and_leaves_no_model(
    base: dict[str, Any], workspace: Workspace, tmp_path: Path
) -> None:
    texts = [f"{'!' * (i + 1)},{'good' if i % 2 else 'bad'}" for i in range(40)]
    (tmp_path / "signs.csv").write_text("text,label\n" + "\n".join(texts), encoding="utf-8")
    base["target"]["dataset"] = {"csv": str(tmp_path / "signs.csv")}
    folder = BaselineFolder(tmp_path / "baselines")
    compute_baselines(build_config(base), workspace, folder, folds=1, refit=False)
    results = {result.name: result for result in folder.read()}
    assert "empty vocabulary" in str(results["tfidf"].error)
    assert not folder.checkpoint("tfidf").exists()
    assert results["features"].metrics


def test_only_some_of_many_rows_are_used_and_a_note_says_so(
    config: TrialConfig, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compute, "MOST_ROWS", 20)
    folder = BaselineFolder(tmp_path / "baselines")
    compute_baselines(config, workspace, folder, folds=1, refit=False)
    assert {result.rows for result in folder.read()} == {20}
    assert "20 of 42 training rows" in folder.read()[0].notes[0]


def test_a_baseline_whose_process_ended_twice_is_given_up(tmp_path: Path) -> None:
    folder = BaselineFolder(tmp_path)
    for _ in range(MOST_BEGINS):
        assert folder.begin("features") is not None
        assert "features" in folder.missing("classification")
    assert folder.begin("features") is None
    assert folder.read() == [BaselineResult("features", error=INTERRUPTED, begun=MOST_BEGINS)]


@pytest.mark.parametrize("classes", [2, 3])
def test_a_head_gives_the_probabilities_of_the_regression_on_standardised_features(classes: int) -> None:
    generator = np.random.default_rng(0)
    features, names = generator.normal(3.0, 2.0, (60, 4)), ("a", "b", "c", "unseen")
    labels = np.array(names)[np.arange(60) % classes]
    mean, spread = features.mean(0), features.std(0)
    model = LogisticRegression().fit((features - mean) / spread, labels)
    weights, biases = as_head(model, mean, spread, names)
    logits = torch.from_numpy(features @ weights.T + biases)
    expected = model.predict_proba((features - mean) / spread)
    assert torch.softmax(logits[:, :classes], -1).numpy() == pytest.approx(expected)
    assert (biases[classes:] == UNSEEN).all()


def test_the_texts_of_a_pair_are_joined_and_chinese_characters_are_words() -> None:
    names = ("no", "yes")
    train = LabelledTexts(["很好 看", "不好 看", "很好 吃", "不好 吃"], np.array([1, 0, 1, 0]), names)
    rows = np.arange(4)
    model, _ = train_tfidf(train, FoldPlan([Fold(rows, rows)], rows), "accuracy")
    assert {"很", "好", "很 好"} <= set(model["tfidf"].vocabulary_)
    assert outputs_of(model, ["很好 喝"], names).argmax(-1).tolist() == [1]


def test_a_damaged_model_is_an_error_that_names_the_file(computed: BaselineFolder, workspace: Workspace) -> None:
    folder = computed.checkpoint("tfidf")
    (folder / "model.skops").write_bytes(b"no zip file")
    with pytest.raises(ConfigError, match=r"model\.skops: cannot be read"):
        load_text_model(folder)
    (folder / CHECKSUMS_FILE).unlink()
    with pytest.raises(ConfigError):
        checkpoint_logits(folder, "validation", workspace)


def other_task(folder: Path, task: str) -> dict[str, Any]:
    """Write 60 rows whose text says what their label is, and return the settings of the data set."""
    rows, file = [(row % 3, row % 2) for row in range(60)], folder / f"{task}.jsonl"
    texts = [f"a {('dull', 'fine', 'good')[kind]} {('film', 'book')[of]} {n}" for n, (kind, of) in enumerate(rows)]
    labels: list[Any] = {
        "regression": [10.0 * kind + of for kind, of in rows],
        "multi_label": ["|".join([*["good"] * (kind == 2), *["book"] * of]) for kind, of in rows],
        "tagging": [f"O {('BAD', 'O', 'GOOD')[kind]} THING O" for kind, of in rows],
    }[task]
    lines = [json.dumps({"text": text, "label": label}) for text, label in zip(texts, labels, strict=True)]
    file.write_text("\n".join(lines), encoding="utf-8")
    return {"task": task, "json": str(file), **({"label_separator": "|"} if task == "multi_label" else {})}


@pytest.mark.parametrize("folds", [1, 2])
@pytest.mark.parametrize("task", ["regression", "multi_label", "tagging"])
def test_baselines_of_other_tasks(
    base: dict[str, Any], workspace: Workspace, tmp_path: Path, task: str, folds: int
) -> None:
    config = build_config({**base, "target": {**base["target"], "dataset": other_task(tmp_path, task)}})
    folder = BaselineFolder(tmp_path / "baselines")
    compute_baselines(config, workspace, folder, folds=folds, refit=folds > 1)
    splits, metric = read_splits(config.dataset_of(config.target)), config.metric_of(config.target)
    results = folder.read()
    assert [result.name for result in results] == list(NAMES_BY_TASK[task])
    for result in results:
        assert (result.error, len(result.folds)) == (None, folds)
        if folds == 1 and result.name not in NEVER_WIN:
            logits = checkpoint_logits(folder.checkpoint(result.name), "validation", workspace)
            assert logits is not None
            found = TASKS[task].scores(logits, splits.validation.labels, splits.label_names)
            assert {name: result.metrics[name] for name in found} == pytest.approx(found, rel=1e-3, abs=1e-4)
    values = [result.metrics[metric] for result in results]
    assert values[1] > values[0] or task == "tagging"
    assert values[1] > 0.6
