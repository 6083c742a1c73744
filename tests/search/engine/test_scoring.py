"""A finished sweep beside its baselines: the test score of the winner, the gain, and the export of a baseline."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import transfersweep
from search.engine.answers import keep_answers
from search.engine.scoring import score_winner
from search.export.export import export_trial
from search.export.exportable import choose
from search.export.predict import predict_file
from search.plan.plan import Plan, load_sweep
from search.preflight.costliest import baseline_trial, costliest_trial
from search.record.records import Outcome
from search.storage.sweep_folder import SweepFolder
from search.study.baselines import hold_contest
from search.study.summary import summarise
from search.study.sweep_study import SweepStudy
from trainable.baselines.compute import compute_baselines
from trainable.errors import ConfigError


@pytest.fixture(scope="module")
def with_baselines(swept: SweepFolder, tmp_path_factory: pytest.TempPathFactory) -> SweepFolder:
    """A copy of the finished sweep, with its baselines. Without outcome.json it is summarised when it is shown."""
    storage = tmp_path_factory.mktemp("with_baselines")
    shutil.copytree(swept.storage, storage, dirs_exist_ok=True)
    folder = SweepFolder(storage, swept.name)
    folder.outcome.unlink()
    plan = load_sweep(folder)
    workspace = plan.workspace(storage)
    config = baseline_trial(plan, costliest_trial(plan, workspace)[1], workspace)
    compute_baselines(config.model_copy(update={"pooling": "mean"}), workspace, folder.baselines, folds=1, refit=False)
    return folder


def make_best(folder: SweepFolder, name: str) -> None:
    """Give one baseline a score that no trial reaches, and the others none that one misses."""
    for result in folder.baselines.read():
        value = 2.0 if result.name == name else -2.0
        folder.baselines.write(replace(result, metrics={**result.metrics, "macro_f1": value}, folds=()))


def finished(folder: SweepFolder) -> tuple[Plan, SweepStudy, Outcome]:
    plan = load_sweep(folder)
    study = SweepStudy(folder.study, plan.settings, plan.space, 0)
    contest = hold_contest(plan, study)
    trained = tuple(baseline for baseline in contest.baselines if baseline.checkpoint)
    scores = score_winner(plan, folder.storage, study, replace(contest, baselines=trained))
    keep_answers(scores, plan.workspace(folder.storage), folder)
    return plan, study, summarise(plan, folder.storage, study, scores.test, complete=True, gain=scores.gain)


def test_the_winner_and_the_best_baseline_are_compared_on_the_test_rows(with_baselines: SweepFolder) -> None:
    make_best(with_baselines, "none of them")
    _, _, outcome = finished(with_baselines)
    assert (outcome.winner, outcome.winning_baseline) == (0, None)
    assert outcome.test
    assert outcome.gain
    assert outcome.gain.split == "test"
    assert outcome.gain.low is not None
    assert outcome.gain.low <= outcome.gain.difference <= (outcome.gain.high or 0.0)
    assert f", {outcome.test.rows} rows" in outcome.gain.sentence


def test_features_that_win_are_exported_like_a_trial(with_baselines: SweepFolder, tmp_path: Path) -> None:
    make_best(with_baselines, "features")
    _, _, outcome = finished(with_baselines)
    assert outcome.winning_baseline == "features"
    assert outcome.test
    assert outcome.winner_config["target.frozen_layers"] == 3
    exported = export_trial(choose(with_baselines.name, with_baselines.storage, tmp_path / "model"))
    assert exported.baseline == "features"
    assert exported.format == "sentence-transformers"
    assert exported.to_json()["trial"] is None
    assert transfersweep.classifier(tmp_path / "model")("a good day").label in ("negative", "positive")
    card = (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    assert "a linear model on its frozen features (features + logistic regression)" in card
    assert "| features + logistic regression | 2.0000 |" in card


@pytest.mark.parametrize("name", ["tfidf", "majority"])
def test_words_that_win_are_exported_without_an_encoder(with_baselines: SweepFolder, tmp_path: Path, name: str) -> None:
    make_best(with_baselines, name)
    assert finished(with_baselines)[2].test
    exported = export_trial(choose(with_baselines.name, with_baselines.storage, tmp_path / "model"))
    assert (exported.format, exported.baseline) == ("skops", name)
    files = sorted(file.name for file in (tmp_path / "model").iterdir())
    assert files == ["README.md", "experiment.yaml", "model.skops", "trial.json"]
    usage = exported.usage()
    shown: dict[str, Any] = {}
    exec("\n".join([*usage[:-1], f"label = {usage[-1]}"]), shown)
    assert shown["label"] == transfersweep.classifier(tmp_path / "model")("Your text").label
    output = tmp_path / "labelled.csv"
    (tmp_path / "new.csv").write_text("text\na good day\n", encoding="utf-8")
    predict_file(tmp_path / "model", tmp_path / "new.csv", output)
    assert output.read_text(encoding="utf-8").startswith("text,predicted,probability,")
    assert "Reads words and pairs of words" in (tmp_path / "model" / "README.md").read_text(encoding="utf-8")


def test_words_have_no_other_format(with_baselines: SweepFolder, tmp_path: Path) -> None:
    make_best(with_baselines, "tfidf")
    with pytest.raises(ConfigError, match="--format onnx: the baseline TF-IDF .* leave --format out"):
        choose(with_baselines.name, with_baselines.storage, tmp_path / "model", format="onnx")
