"""`transfersweep init`: the columns that it finds, what it refuses, and that its file is a plan that `run` accepts."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from search.__main__ import app
from search.init.guess import guess_columns, split_files
from search.plan.plan import load_plan
from trainable.data.reading.raw_table import RawTable
from trainable.errors import ConfigError

TEXTS = [f"this is sentence number {row}" for row in range(40)]
CLASSES = ["yes", "no"] * 20


def table(columns: Mapping[str, Sequence[object]]) -> RawTable:
    return RawTable("t.csv", {name: list(cells) for name, cells in columns.items()}, len(next(iter(columns.values()))))


def guessed(columns: Mapping[str, Sequence[object]], **given: str) -> dict[str, str]:
    return dict(guess_columns(table(columns), given).settings)


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        ({"message": TEXTS, "kind": CLASSES}, {"text": "message", "label": "kind"}),
        ({"a": TEXTS, "b": CLASSES}, {"text": "a", "label": "b"}),
        ({"文本": [f"这是第{n}句话" for n in range(40)], "标签": [0, 1] * 20}, {"text": "文本", "label": "标签"}),
        ({"id": range(40), "text": TEXTS, "Label": CLASSES}, {"text": "text", "label": "Label"}),
        ({"text": TEXTS, "label": CLASSES, "lang": ["en", "de"] * 20}, {"text": "text", "label": "label"}),
        (
            {"premise": ["the same premise"] * 40, "hypothesis": TEXTS, "label": CLASSES},
            {"text": "premise", "text_b": "hypothesis", "label": "label"},
        ),
        (
            {"text": TEXTS, "score": [n / 7 for n in range(40)]},
            {"text": "text", "label": "score", "task": "regression"},
        ),
    ],
)
def test_columns_are_found(columns: Mapping[str, Sequence[object]], found: dict[str, str]) -> None:
    assert guessed(columns) == found


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"text": TEXTS, "a": CLASSES, "b": CLASSES}, ["several columns could be the label", "'a'", "'b'"]),
        ({"a": TEXTS, "b": TEXTS, "label": CLASSES}, ["which column is the text?", "--set text=a"]),
        ({"text": TEXTS}, ["no column looks like a label"]),
        ({"word": ["one"] * 40, "label": CLASSES}, ["which column is the text?"]),
    ],
)
def test_what_is_not_clear_is_refused(columns: Mapping[str, Sequence[object]], words: list[str]) -> None:
    with pytest.raises(ConfigError) as error:
        guessed(columns)
    assert all(word in str(error.value) for word in words)


def test_what_the_user_names_is_not_guessed() -> None:
    columns = {"a": TEXTS, "b": TEXTS, "c": CLASSES, "d": CLASSES}
    assert guessed(columns, text="b", label="d") == {"text": "b", "label": "d"}


@settings(max_examples=30, deadline=None)
@given(st.permutations(["text", "label", "id", "note"]))
def test_the_order_of_the_columns_does_not_matter(order: list[str]) -> None:
    cells = {"text": TEXTS, "label": CLASSES, "id": list(range(40)), "note": ["x"] * 40}
    assert guessed({name: cells[name] for name in order}) == {"text": "text", "label": "label"}


def test_the_other_splits_are_the_files_beside_it(tmp_path: Path) -> None:
    for name in ("a_train.csv", "a_dev.csv", "a_test.csv", "b.csv"):
        (tmp_path / name).touch()
    files = {split: Path(file).name for split, file in split_files(str(tmp_path / "a_train.csv")).items()}
    assert files == {"train": "a_train.csv", "validation": "a_dev.csv", "test": "a_test.csv"}
    assert list(split_files(str(tmp_path / "b.csv"))) == ["csv"]


def test_its_file_is_an_experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    rows = [f"{text},{label}" for text, label in zip(TEXTS, CLASSES, strict=True)]
    for name in ("tweets", "films"):
        (tmp_path / "data" / f"{name}.csv").write_text("\n".join(["text,kind", *rows]))
    monkeypatch.chdir(tmp_path)
    command = ["init", "data/tweets.csv", "--source", "data/films.csv"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert "transfersweep run tweets.yaml" in result.stderr
    plan = load_plan(tmp_path / "tweets.yaml")
    assert plan.settings.metric == "accuracy"
    names = {name for name, _ in plan.space.corners()}
    assert {"source.enabled", "target.learning_rate", "target.frozen_layers", "target.objective"} <= names
    again = CliRunner().invoke(app, command)
    assert again.exit_code == 2
    assert "tweets.yaml: exists" in again.stderr
