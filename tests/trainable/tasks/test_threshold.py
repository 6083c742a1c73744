"""The setting `threshold`: chosen on validation rows or given, a part of the model, refused where it means nothing."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trainable.baselines.checkpoints import checkpoint_logits
from trainable.baselines.compute import compute_baselines
from trainable.baselines.results import BaselineFolder
from trainable.errors import ConfigError
from trainable.settings.config import build_config
from trainable.tasks.classification import CLASSIFICATION
from trainable.tasks.registry import read_dataset, read_splits
from trainable.tasks.threshold import log_odds, probability_of
from trainable.trial import Trial, run_trial
from trainable.workspace import Workspace


@pytest.fixture
def rare(base: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    """A target with few rows of the class `bad`, which is the first in the order of the alphabet."""
    generator = np.random.default_rng(0)
    bad = generator.random(120) < 0.2
    words = [("dull" if is_bad else "fine") if generator.random() < 0.7 else "film" for is_bad in bad]
    lines = [f"a {word} film {row},{'bad' if bad[row] else 'good'}" for row, word in enumerate(words)]
    (tmp_path / "rare.csv").write_text("text,label\n" + "\n".join(lines), encoding="utf-8")
    data = {"csv": str(tmp_path / "rare.csv"), "positive": "bad"}
    return {**base, "metric": "f2", "target": {**base["target"], "dataset": data, "threshold": "tuned"}}


def test_a_tuned_threshold_is_a_part_of_the_model(rare: dict[str, Any], workspace: Workspace, tmp_path: Path) -> None:
    config = build_config(rare)
    splits = read_splits(config.dataset_of(config.target))
    assert splits.label_names == ("good", "bad")
    found = run_trial(config, lambda _: True, workspace=workspace, save_to=tmp_path / "tuned").metrics
    cut = found["target.validation.cut"]
    outputs = checkpoint_logits(tmp_path / "tuned", "validation", workspace)
    assert outputs is not None
    again = CLASSIFICATION.scores(outputs, splits.validation.labels)
    assert again["f2"] == found["target.validation.f2"]
    shifted = outputs + CLASSIFICATION.subtracted(cut)
    assert CLASSIFICATION.scores(shifted, splits.validation.labels)["f2"] < again["f2"]
    fold = {**rare["target"], "fold": None, "threshold": probability_of(cut)}  # as the run on all rows
    run_trial(build_config({**rare, "target": fold}), lambda _: True, workspace=workspace, save_to=tmp_path / "all")
    plain = {**fold, "threshold": "auto"}
    run_trial(build_config({**rare, "target": plain}), lambda _: True, workspace=workspace, save_to=tmp_path / "plain")
    ours, theirs = (checkpoint_logits(tmp_path / name, "validation", workspace) for name in ("all", "plain"))
    assert ours is not None and theirs is not None
    margin = (theirs - ours)[:, 1] - (theirs - ours)[:, 0]
    assert margin.numpy() == pytest.approx(cut, abs=1e-4)


def test_a_resumed_trial_ends_as_an_uninterrupted_one(
    rare: dict[str, Any], workspace: Workspace, tmp_path: Path
) -> None:
    config = build_config(rare)
    whole = run_trial(config, lambda _: True, workspace=workspace, save_to=tmp_path / "whole").metrics
    trial = Trial(config, workspace)
    next(reports := trial.reports())
    (tmp_path / "half").mkdir()
    trial.save(tmp_path / "half")
    reports.close()
    resumed = run_trial(
        config, lambda _: True, workspace=workspace, resume=tmp_path / "half", save_to=tmp_path / "end"
    ).metrics
    assert resumed == whole
    ends = [checkpoint_logits(tmp_path / name, "validation", workspace) for name in ("whole", "end")]
    assert ends[0] is not None and ends[1] is not None and bool((ends[0] == ends[1]).all())


@pytest.mark.parametrize("threshold", ["tuned", 0.3])
def test_baselines_have_it_too(
    rare: dict[str, Any], workspace: Workspace, tmp_path: Path, threshold: str | float
) -> None:
    rare["target"]["threshold"] = threshold
    config, folder = build_config(rare), BaselineFolder(tmp_path / "baselines")
    compute_baselines(config, workspace, folder, folds=1, refit=False)
    labels = read_splits(config.dataset_of(config.target)).validation.labels
    for result in folder.read():
        assert result.error is None
        logits = checkpoint_logits(folder.checkpoint(result.name), "validation", workspace)
        assert logits is not None
        assert CLASSIFICATION.scores(logits, labels)["f2"] == pytest.approx(result.metrics["f2"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"threshold": 1.5}, "above 0 and below 1"),
        ({"threshold": "best"}, "must be auto, tuned, a metric"),
        ({"threshold": "auroc"}, "auroc depends on no threshold"),
    ],
)
def test_wrong_thresholds_are_errors(
    rare: dict[str, Any], workspace: Workspace, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        Trial(build_config({**rare, "target": {**rare["target"], **change}}), workspace).builder.tokenized(
            "target", build_config({**rare, "target": {**rare["target"], **change}}).target
        )


def test_more_than_two_labels_have_none(base: dict[str, Any], workspace: Workspace, tmp_path: Path) -> None:
    lines = [f"a {name} film {row},{name}" for row in range(30) for name in ("dull", "fine", "good")]
    (tmp_path / "three.csv").write_text("text,label\n" + "\n".join(lines), encoding="utf-8")
    data = {"csv": str(tmp_path / "three.csv"), "positive": "good"}
    config = build_config({**base, "target": {**base["target"], "dataset": data, "threshold": "tuned"}})
    _, problems = read_dataset(config.dataset_of(config.target))
    assert problems == ["positive: is for two labels, and there are 3; leave it out"]
    config = build_config({**base, "target": {**base["target"], "dataset": {"csv": data["csv"]}, "threshold": "tuned"}})
    with pytest.raises(ConfigError, match="a threshold needs two labels, and there are 3"):
        Trial(config, workspace).builder.tokenized("target", config.target)


def test_a_probability_and_its_log_odds() -> None:
    assert probability_of(log_odds(0.2)) == 0.2
    assert probability_of(-40.0) == 1e-6
