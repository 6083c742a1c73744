"""Each mistake in the data gives one sentence with the file, a count and the first place."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trainable.errors import ConfigError
from trainable.settings.dataset import Dataset
from trainable.tasks.registry import read_dataset, read_splits

GOOD = [f"text {i},{'ab'[i % 2]}" for i in range(20)]


def _csv(path: Path, rows: list[str]) -> None:
    path.write_text("\n".join(["text,label", *rows]) + "\n", encoding="utf-8")


def _problems(dataset: Dataset, root: Path) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        read_splits(dataset, [root])
    return caught.value.problems


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([*GOOD, ",a", "  ,b"], "t.csv: 2 rows with no text in column 'text', the first on line 22"),
        ([*GOOD, "x,", "y, "], "t.csv: 2 rows with no label in column 'label', the first on line 22"),
        ([*GOOD, "x,c"], "t.csv: 1 label with fewer than 3 different texts"),
        ([*GOOD, "x,c", "x,c", "x,c"], "t.csv: 1 label with fewer than 3 different texts"),
        ([f"text {i},a" for i in range(20)], "t.csv: all 13 training rows have the label 'a'"),
    ],
)
def test_one_mistake_one_sentence(tmp_path: Path, rows: list[str], expected: str) -> None:
    _csv(tmp_path / "t.csv", rows)
    (problem,) = _problems(Dataset(csv="t.csv"), tmp_path)
    assert problem.startswith(expected)


def test_all_mistakes_at_once(tmp_path: Path) -> None:
    _csv(tmp_path / "train.csv", [*GOOD, ",a", "x,"])
    _csv(tmp_path / "val.csv", ["text 0,a", "new,c", " ,b"])
    problems = _problems(Dataset(train="train.csv", validation="val.csv"), tmp_path)
    found = "\n".join(problems)
    assert len(problems) == 5
    assert "train.csv: 1 row with no text in column 'text', the first on line 22" in found
    assert "train.csv: 1 row with no label in column 'label', the first on line 23" in found
    assert "val.csv: 1 row with no text in column 'text', the first on line 4" in found
    assert "val.csv: 1 validation row with labels unseen in training: 'c' 1x, the first on line 3" in found
    assert "val.csv: 1 of 2 validation rows (50.0%) have a text that is also in train, the first on line 2" in found


def test_cells_that_are_not_text(tmp_path: Path) -> None:
    records = [{"text": f"text {i}", "label": i % 2} for i in range(20)]
    records += [{"text": 5, "label": 0}, {"text": "\ud83d", "label": 0}, {"label": 1}, {"text": "x", "label": 0.5}]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, records)))
    found = "\n".join(_problems(Dataset(json="t.jsonl"), tmp_path))
    assert "1 row with something else than text in column 'text', the first on line 21: 5 (int)" in found
    assert "1 row with half a character (a lone surrogate) in column 'text', the first on line 22" in found
    assert "1 row with no text in column 'text', the first on line 23" in found
    assert "1 row with no possible label in column 'label', the first on line 24: 0.5 (float)" in found


def test_nulls_in_parquet_are_reported_by_row(tmp_path: Path) -> None:
    table = pa.table({"text": [f"t {i}" for i in range(20)] + [None], "label": [i % 2 for i in range(20)] + [None]})
    pq.write_table(table, tmp_path / "t.parquet")
    found = "\n".join(_problems(Dataset(parquet="t.parquet"), tmp_path))
    assert "no text in column 'text', the first on row 21" in found
    assert "no label in column 'label', the first on row 21" in found


def test_labels_that_the_setting_does_not_name(tmp_path: Path) -> None:
    _csv(tmp_path / "t.csv", [*GOOD, "x,c", "y,d"])
    (problem,) = _problems(Dataset(csv="t.csv", labels={"a": "A", "b": "B"}), tmp_path)
    assert problem == (
        "t.csv: 2 rows with a label that `labels` does not name, the first on line 22: 'c' "
        "('c' 1x, 'd' 1x); `labels` names 'a', 'b'"
    )


def test_overlap_is_an_error_above_the_limit_and_a_note_below(tmp_path: Path) -> None:
    _csv(tmp_path / "train.csv", GOOD)
    _csv(tmp_path / "val.csv", ["text 0,a", "text 1,b", *(f"new {i},{'ab'[i % 2]}" for i in range(8))])
    given = {"train": "train.csv", "validation": "val.csv"}
    (problem,) = _problems(Dataset(**given), tmp_path)
    assert "2 of 10 validation rows (20.0%)" in problem
    assert problem.endswith("allow it with max_overlap: 0.2")
    splits = read_splits(Dataset(**given, max_overlap=0.2), [tmp_path])
    assert [note for note in splits.notes if "2 of 10 validation rows" in note]


def test_repeats_and_conflicts_are_notes_without_the_text(tmp_path: Path) -> None:
    _csv(tmp_path / "t.csv", [*GOOD, *GOOD, "secret,a", "secret,b", "secret,a"])
    splits = read_splits(Dataset(csv="t.csv", test_fraction=0), [tmp_path])
    notes = "\n".join(splits.notes)
    assert "with a text that an earlier row has too" in notes
    assert "1 text with more than one label, the first on line 42" in notes
    assert "secret" not in notes


def test_a_label_without_training_rows_is_a_note(tmp_path: Path) -> None:
    _csv(tmp_path / "t.csv", GOOD)
    splits = read_splits(Dataset(csv="t.csv", labels={"a": "A", "b": "B", "c": "C"}), [tmp_path])
    assert splits.label_names == ("A", "B", "C")
    assert "train: no row has the label 'C' (1 such labels)" in splits.notes


def test_two_roles_for_one_column(tmp_path: Path) -> None:
    _csv(tmp_path / "t.csv", GOOD)
    (problem,) = _problems(Dataset(csv="t.csv", text="label"), tmp_path)
    assert problem == "t.csv: text and label are both column 'label'; name different ones"


def test_wrong_rows_are_left_out_of_the_splits(tmp_path: Path) -> None:
    _csv(tmp_path / "t.csv", [*GOOD, ",a", "alone,c"])
    splits, problems = read_dataset(Dataset(csv="t.csv"), [tmp_path])
    assert len(problems) == 2
    assert sum(len(table) for table in splits.by_name().values()) == 21
