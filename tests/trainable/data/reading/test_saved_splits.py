"""The choice of saved splits, and test splits without labels."""

from pathlib import Path

import datasets
import pytest
from pydantic import ValidationError

from trainable.data.read_splits import Splits
from trainable.data.reading.saved_splits import choose_saved_splits
from trainable.errors import ConfigError
from trainable.settings.dataset import Dataset
from trainable.tasks.registry import read_dataset, read_splits


def part(prefix: str, rows: int = 20, labels: list[object] | None = None) -> datasets.Dataset:
    texts = [f"{prefix} number {i}" for i in range(rows)]
    return datasets.Dataset.from_dict({"text": texts, "label": labels or [i % 2 for i in range(rows)]})


def saved(folder: Path, **parts: datasets.Dataset) -> None:
    datasets.DatasetDict(parts).save_to_disk(folder / "saved")


def sizes(splits: Splits) -> dict[str, int]:
    return {name: len(table) for name, table in splits.by_name().items()}


NAMES = ["dev", "valid", "val", "eval", "development", "evaluation", "validation_matched", "dev-clean", "VALID"]


@pytest.mark.parametrize("name", NAMES)
def test_a_validation_split_by_another_name_is_used(name: str, tmp_path: Path) -> None:
    saved(tmp_path, train=part("train"), **{name: part("other", 10)})
    splits = read_splits(Dataset(folder="saved"), [tmp_path])
    assert sizes(splits) == {"train": 20, "validation": 10}
    assert (
        f"saved: the split '{name}' is used as validation; `splits: {{validation: ...}}` names another" in splits.notes
    )


def test_a_note_lists_unused_splits_with_the_setting(tmp_path: Path) -> None:
    parts = {"validation_matched": part("one", 10), "validation_mismatched": part("two", 10), "extra": part("more", 5)}
    saved(tmp_path, train=part("train"), **parts)
    splits = read_splits(Dataset(folder="saved", test="none"), [tmp_path])
    assert sizes(splits) == {"train": 15, "validation": 5}
    assert splits.notes == (
        "saved: not used: 'validation_matched' (10 rows), 'validation_mismatched' (10 rows), 'extra' (5 rows); "
        "to use one: `splits: {validation: validation_matched}`",
    )
    named = Dataset(folder="saved", splits={"validation": "validation_mismatched", "test": "validation_matched"})
    splits = read_splits(named, [tmp_path])
    assert sizes(splits) == {"train": 20, "validation": 10, "test": 10}
    assert splits.validation.text[0] == "two number 0"


@pytest.mark.parametrize(
    ("there", "wanted", "chosen"),
    [
        ("train validation test", {}, "train validation test"),
        ("train validation dev", {}, "train validation"),
        ("train dev dev_mismatched", {}, "train dev"),
        ("train dev", {"validation": "none"}, "train"),
        ("train validation test", {"test": "none"}, "train validation"),
        ("train validation test", {"validation": "test"}, "train test"),
        ("train validation test", {"validation": "test", "test": "validation"}, "train test validation"),
        ("training testing", {}, "training testing"),
        ("all dev", {"train": "all"}, "all dev"),
        ("train unsupervised", {}, "train"),
    ],
)
def test_saved_splits_are_chosen(there: str, wanted: dict[str, str], chosen: str) -> None:
    rows = dict.fromkeys(there.split(), 10)
    found, _ = choose_saved_splits(rows, wanted, "d")  # type: ignore[arg-type]
    assert [found[split] for split in ("train", "validation", "test") if split in found] == chosen.split()  # type: ignore[index]


@pytest.mark.parametrize(
    ("there", "wanted", "says"),
    [
        ("train dev", {"validation": "de"}, "d: splits: no such split: 'de'; did you mean 'dev'"),
        ("a b", {}, r"d: there is no split 'train'; there are 'a', 'b'; name one: `splits: \{train: ...\}`"),
        ("train_a train_b", {}, "there is no split 'train'"),
        ("train dev", {"train": "none"}, "there is no split 'train'"),
        ("train dev", {"validation": "dev", "test": "dev"}, "'dev' is named for validation and test"),
    ],
)
def test_impossible_choices_are_refused(there: str, wanted: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        choose_saved_splits(dict.fromkeys(there.split(), 10), wanted, "d")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "settings",
    [
        {"csv": "a.csv", "splits": {"validation": "dev"}},
        {"folder": "a", "splits": {"val": "dev"}},
        {"folder": "a", "test": "none", "test_fraction": 0.1},
        {"folder": "a", "test": "b.csv"},
        {"test": "none"},
    ],
)
def test_settings_without_effect_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Dataset.model_validate(settings)


def test_one_table_has_no_splits(tmp_path: Path) -> None:
    part("one").save_to_disk(tmp_path / "saved")
    with pytest.raises(ConfigError, match="saved: is one table without splits of its own"):
        read_splits(Dataset(folder="saved", splits={"train": "a"}), [tmp_path])
    splits = read_splits(Dataset(folder="saved", test="none"), [tmp_path])
    assert sizes(splits) == {"train": 15, "validation": 5}


@pytest.mark.parametrize("labels", [[-1] * 8, [None] * 8, [-1.0] * 8, [float("nan")] * 8, ["-1"] * 8, [""] * 8])
def test_a_test_split_without_labels_is_left_out_with_a_note(labels: list[object], tmp_path: Path) -> None:
    saved(tmp_path, train=part("train"), validation=part("other", 10), test=part("hidden", 8, labels))
    splits = read_splits(Dataset(folder="saved"), [tmp_path])
    assert sizes(splits) == {"train": 20, "validation": 10}
    (note,) = splits.notes
    assert note.startswith("saved (test): none of the 8 rows of the test split has a label: column 'label' ")
    assert note.endswith("; the split is left out")
    assert read_splits(Dataset(folder="saved", test="none"), [tmp_path]).fingerprint == splits.fingerprint


def test_a_test_split_without_a_column_of_labels_is_left_out(tmp_path: Path) -> None:
    saved(tmp_path, train=part("train"), test=part("hidden", 8).remove_columns("label"))
    splits = read_splits(Dataset(folder="saved", test_fraction=0), [tmp_path])
    assert sizes(splits) == {"train": 15, "validation": 5}
    assert "there is no column 'label'; the split is left out" in splits.notes[0]


def test_requested_splits_must_have_labels(tmp_path: Path) -> None:
    saved(tmp_path, train=part("train"), validation=part("other", 8, [-1] * 8), test=part("hidden", 8, [-1] * 8))
    _, problems = read_dataset(Dataset(folder="saved", splits={"test": "test"}), [tmp_path])
    assert problems == [
        f"saved ({split}): none of the 8 rows of the {split} split has a label: column 'label' holds only -1; "
        f"name another with `splits`, or leave it out: `splits: {{{split}: none}}`"
        for split in ("validation", "test")
    ]
    (tmp_path / "a.csv").write_text("text,label\n" + "".join(f"t{i},{i % 2}\n" for i in range(20)))
    (tmp_path / "b.csv").write_text("text,label\n" + "".join(f"u{i},\n" for i in range(20)))
    _, problems = read_dataset(Dataset(train="a.csv", test="b.csv"), [tmp_path])
    assert problems == [
        "b.csv: none of the 20 rows of the test split has a label: column 'label' is empty; "
        "name another file, or leave the setting `test` out"
    ]


def test_minus_one_may_be_a_label(tmp_path: Path) -> None:
    labels: list[object] = [-1, 1] * 10
    saved(tmp_path, train=part("train", 20, labels), test=part("other", 8, [-1] * 8))
    assert sizes(read_splits(Dataset(folder="saved"), [tmp_path]))["test"] == 8
