"""A label is one class in every spelling of a number or a truth value, and a mistake in labels is one sentence."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from trainable.data.read_splits import Splits
from trainable.settings.dataset import Dataset
from trainable.settings.mistake_messages import describe
from trainable.tasks.registry import read_dataset


def _lines(path: Path, labels: list[Any], text: str = "text") -> str:
    path.write_text("\n".join(json.dumps({"text": f"{text} {i}", "label": label}) for i, label in enumerate(labels)))
    return str(path)


def _csv(path: Path, labels: list[str], text: str = "text") -> str:
    path.write_text("\n".join(["text,label", *(f"{text} {i},{label}" for i, label in enumerate(labels))]))
    return str(path)


def _rows(splits: Splits) -> int:
    return sum(map(len, splits.by_name().values()))


@pytest.mark.parametrize("labels", [None, ["bad", "good"], {"0": "bad", "1": "good"}, {"0.0": "bad", "1.0": "good"}])
def test_spellings_of_a_whole_number_are_one_label_with_one_note(tmp_path: Path, labels: Any) -> None:
    train = _lines(tmp_path / "t.jsonl", [0.0, 1.0, 0, 1, "0", "1", "0.0", "1.0", "1.00"] * 3)
    validation = _csv(tmp_path / "v.csv", ["0", "1.0"] * 3, "other")
    splits, problems = read_dataset(Dataset(train=train, validation=validation, labels=labels))
    assert not problems
    assert splits.label_names == (("bad", "good") if labels else ("0", "1"))
    assert splits.validation.labels.tolist() == [0, 1] * 3
    assert len([note for note in splits.notes if "a whole number is one label" in note]) == 1


def test_labels_stay_as_they_are_unless_all_are_whole_numbers(tmp_path: Path) -> None:
    splits, problems = read_dataset(Dataset(csv=_csv(tmp_path / "t.csv", ["01", "1", "1.0"] * 10)))
    assert (splits.label_names, problems) == (("01", "1", "1.0"), [])
    assert "'1' 10x = '1.0' 10x" in splits.notes[0]
    splits, _ = read_dataset(Dataset(csv=_csv(tmp_path / "t.csv", ["1", "2", "10"] * 10)))
    assert (splits.label_names, splits.notes) == (("1", "2", "10"), ())


def test_a_fraction_is_one_problem_and_nan_is_an_empty_cell(tmp_path: Path) -> None:
    train = _lines(tmp_path / "t.jsonl", [0.0] * 10 + [0.5])
    validation = _lines(tmp_path / "v.jsonl", [1.0] * 4, "other")
    _, problems = read_dataset(Dataset(train=train, validation=validation))
    (problem,) = problems
    assert "1 row with no possible label in column 'label', the first on line 11: 0.5 (float)" in problem
    _, (problem,) = read_dataset(Dataset(train=_lines(tmp_path / "t.jsonl", [0.0, 1.0] * 10 + [float("nan")])))
    assert "1 row with no label in column 'label', the first on line 21" in problem


@pytest.mark.parametrize("labels", [[0.5, 1.5] * 10, [[1], [2]] * 10, [1e300, 2e300] * 10])
def test_labels_that_are_all_impossible_are_one_sentence(tmp_path: Path, labels: list[Any]) -> None:
    _, problems = read_dataset(Dataset(json=_lines(tmp_path / "t.jsonl", labels)))
    assert len(problems) == 1
    assert "20 rows with no possible label" in problems[0]


def test_labels_that_the_setting_does_not_name_are_one_sentence(tmp_path: Path) -> None:
    csv = _csv(tmp_path / "t.csv", ["ham", "spam"] * 10)
    _, (problem,) = read_dataset(Dataset(csv=csv, labels=["ham", "spam"]))
    assert "20 rows with a label that `labels` does not name, the first on line 2: 'ham'" in problem
    _, (problem,) = read_dataset(Dataset(csv=csv, labels={"ham": "good"}))
    assert "10 rows with a label" in problem


@pytest.mark.parametrize("keys", [("true", "false"), ("True", "False"), ("TRUE", "FALSE")])
@pytest.mark.parametrize("cells", [(True, False), ("true", "false"), ("True", "False")])
def test_truth_values_match_in_every_spelling(tmp_path: Path, keys: tuple[str, str], cells: tuple[Any, Any]) -> None:
    json_ = _lines(tmp_path / "t.jsonl", list(cells) * 10)
    splits, problems = read_dataset(Dataset(json=json_, labels={keys[0]: "good", keys[1]: "bad"}))
    assert (splits.label_names, problems, _rows(splits)) == (("good", "bad"), [], 20)
    plain, _ = read_dataset(Dataset(json=_lines(tmp_path / "t.jsonl", [True, False] * 10)))
    assert plain.label_names == ("False", "True")


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        ({"ham": 0, "spam": 1}, """'ham' has the name 0; did you mean {"0": "ham", "1": "spam"}? Quote names"""),
        ({"0": 5, "1": 6}, """'0' has the name 5; did you mean {"0": "5", "1": "6"}? Quote names"""),
        ({"0": "ham", "1": True}, """'1' has the name true; did you mean {"0": "ham", "1": "true"}?"""),
        ({"ham": None, "spam": 1}, """'ham' has the name null; write for instance {"0": "ham", "1": "spam"}."""),
        ({"ham": ["a"], "spam": {}}, """'ham' has the name ["a"]; write for instance"""),
        ([0, 1], "a list gives the names of 0, 1, 2... as text, got 0; quote names"),
        (["ham", None], "a list gives the names of 0, 1, 2... as text, got null; quote names"),
        ("ham", "must be a mapping such as {"),
        (3, "must be a mapping such as {"),
        ({}, "must be a mapping such as {"),
    ],
)
def test_a_mistake_in_the_setting_is_one_sentence_with_the_way_out(labels: Any, sentence: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Dataset.model_validate({"csv": "t.csv", "labels": labels})
    (said,) = describe(caught.value, Dataset)
    assert said.startswith("labels: ")
    assert sentence in said


def test_scores_in_the_label_column_are_one_sentence(tmp_path: Path) -> None:
    csv = _csv(tmp_path / "t.csv", [f"{i / 7:.3f}" for i in range(40)])
    _, (problem,) = read_dataset(Dataset(csv=csv))
    assert "40 labels with fewer than 3 different texts" in problem


def test_a_label_that_cannot_be_encoded_is_refused(tmp_path: Path) -> None:
    _, (problem,) = read_dataset(Dataset(json=_lines(tmp_path / "t.jsonl", ["\ud83d", "a", "b"] * 10)))
    assert "10 rows with no possible label in column 'label', the first on line 1: '\\ud83d' (half a char" in problem


def test_a_class_with_refused_rows_is_not_reported_as_missing(tmp_path: Path) -> None:
    csv = _csv(tmp_path / "t.csv", ["Yes", "No"] * 10)
    splits, problems = read_dataset(Dataset(csv=csv, labels={"yes": "y", "No": "n"}))
    assert (len(problems), splits.notes) == (1, ())
