"""`transfersweep evaluate`: its scores are scikit-learn's on what `predict` gives, and mistakes are named."""

import csv
import json
from pathlib import Path

import pytest
from sklearn.metrics import accuracy_score, f1_score
from typer.testing import CliRunner

from search.__main__ import app
from search.export.evaluate import evaluate_file
from search.export.export import export_trial
from search.export.exportable import choose
from search.export.predict import predict_file
from search.storage.sweep_folder import SweepFolder
from trainable.errors import ConfigError


@pytest.fixture(scope="module")
def model(swept: SweepFolder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_trial(choose(swept.name, swept.storage, tmp_path_factory.mktemp("exported") / "model")).folder


def test_the_scores_are_those_of_what_predict_writes(model: Path, tweets_csv: Path, tmp_path: Path) -> None:
    predict_file(model, tweets_csv, tmp_path / "labelled.csv")
    with (tmp_path / "labelled.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    labels, predicted = [row["label"] for row in rows], [row["predicted"] for row in rows]
    evaluation = evaluate_file(model, tweets_csv)
    scores = evaluation.scores
    assert scores.rows == len(rows)
    assert scores.metrics["accuracy"] == pytest.approx(accuracy_score(labels, predicted))
    assert scores.metrics["macro_f1"] == pytest.approx(f1_score(labels, predicted, average="macro", zero_division=0))
    assert evaluation.metric == "macro_f1"
    assert scores.low <= scores.metrics["macro_f1"] <= scores.high
    wrong = [(label, other) for label, other in zip(labels, predicted, strict=True) if label != other]
    assert sum(each.rows for each in evaluation.confusions) == len(wrong)
    chances = [each.probability for each in evaluation.mistakes]
    assert chances == sorted(chances, reverse=True)
    assert {(each.label, each.predicted) for each in evaluation.mistakes} <= set(wrong)
    assert len(evaluation.mistakes) == min(10, len(wrong))


def test_a_file_may_lack_a_label_of_the_model(model: Path, tmp_path: Path) -> None:
    file = tmp_path / "positive.csv"
    file.write_text("text,kind\ngood,positive\nbad,positive\n", encoding="utf-8")
    scores = evaluate_file(model, file, {"label": "kind"}, "accuracy").scores
    assert [each.rows for each in scores.per_class] == [0, 2]


def test_the_command_prints_scores_and_json(model: Path, tweets_csv: Path) -> None:
    shown = CliRunner().invoke(app, ["evaluate", str(model), str(tweets_csv)]).stdout
    assert "95 % interval" in shown and "precision" in shown
    found = json.loads(CliRunner().invoke(app, ["evaluate", str(model), str(tweets_csv), "--json"]).stdout)
    assert found["scores"]["metrics"]["accuracy"] == evaluate_file(model, tweets_csv).scores.metrics["accuracy"]


@pytest.mark.parametrize(
    ("content", "metric", "words"),
    [
        ("text,label\na,unknown\n", None, "unknown"),
        ("text\na\n", None, "no column 'label'"),
        ("text,label\na,\n", None, "no label"),
        ("text,label\na,positive\n", "pearson", "is no metric of classification"),
    ],
)
def test_mistakes_are_named(model: Path, content: str, metric: str | None, words: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match=words):
        evaluate_file(model, tmp_path / "t.csv", metric=metric)
