"""Reading every kind of file, the split made here, and the fingerprint."""

import json
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainable.data.examples import count_shared_rows
from trainable.data.read_splits import Splits
from trainable.data.stratified_split import split_rows
from trainable.errors import ConfigError
from trainable.settings.dataset import Dataset
from trainable.tasks.registry import read_splits

TEXTS = [f"snippet number {i}" for i in range(40)]
LABELS = ["ham" if i % 4 else "spam" for i in range(40)]


def _csv(path: Path, rows: list[str], header: str = "text,label") -> Path:
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def _all_texts(splits: Splits) -> list[str]:
    return [text for table in splits.by_name().values() for text in table.text]


def _problems(dataset: Dataset, root: Path) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        read_splits(dataset, [root])
    return caught.value.problems


def test_every_kind_of_file_reads_the_same(tmp_path: Path) -> None:
    rows = list(zip(TEXTS, LABELS, strict=True))
    _csv(tmp_path / "t.csv", [f"{t},{label}" for t, label in rows])
    _csv(tmp_path / "t.tsv", [f"{t}\t{label}" for t, label in rows], "text\tlabel")
    (tmp_path / "t.jsonl").write_text("\n".join(json.dumps({"text": t, "label": label}) for t, label in rows))
    pq.write_table(pa.table({"text": TEXTS, "label": LABELS}), tmp_path / "t.parquet")
    datasets.Dataset.from_dict({"text": TEXTS, "label": LABELS}).save_to_disk(tmp_path / "t")
    kinds = [{"csv": "t.csv"}, {"csv": "t.tsv"}, {"json": "t.jsonl"}, {"parquet": "t.parquet"}, {"folder": "t"}]
    read = [read_splits(Dataset(**kind), [tmp_path]) for kind in kinds]
    assert {splits.fingerprint for splits in read} == {read[0].fingerprint}
    assert {splits.name for splits in read} == {"t"}
    assert sorted(_all_texts(read[0])) == sorted(TEXTS)


def test_cells_stay_the_strings_of_the_file(tmp_path: Path) -> None:
    cells = ["NA", "null", "None", "007", "1.0", "1", "true", '"a\nb"', '"say ""hi"", x"', "2020-01-01"]
    _csv(tmp_path / "t.csv", [f"{cell},{i % 2}" for i, cell in enumerate(cells * 1)])
    splits = read_splits(Dataset(csv="t.csv", test_fraction=0), [tmp_path])
    assert set(_all_texts(splits)) == {*cells[:7], "a\nb", 'say "hi", x', "2020-01-01"}


def test_bom_blank_lines_and_windows_line_ends(tmp_path: Path) -> None:
    rows = [f"{t},{label}" for t, label in zip(TEXTS, LABELS, strict=True)]
    (tmp_path / "t.csv").write_bytes(("\ufefftext,label\r\n" + "\r\n\r\n".join(rows) + "\r\n\r\n").encode())
    assert len(_all_texts(read_splits(Dataset(csv="t.csv"), [tmp_path]))) == 40


def test_labels_sort_as_numbers_if_all_are_numbers(tmp_path: Path) -> None:
    _csv(tmp_path / "t.csv", [f"text {i},{(10, 9, 2)[i % 3]}" for i in range(30)])
    assert read_splits(Dataset(csv="t.csv"), [tmp_path]).label_names == ("2", "9", "10")


@pytest.mark.parametrize("labels", [["ham", "spam"], {"0": "ham", "1": "spam"}])
def test_labels_are_named_in_the_order_given(tmp_path: Path, labels: list[str] | dict[str, str]) -> None:
    lines = [json.dumps({"text": f"text {i}", "label": i % 2}) for i in range(20)]
    (tmp_path / "t.jsonl").write_text("\n".join(lines))
    splits = read_splits(Dataset(json="t.jsonl", labels=labels), [tmp_path])
    assert splits.label_names == ("ham", "spam")
    even = [int(text.split()[1]) % 2 for text in splits.train.text]
    assert splits.train.labels.tolist() == even


def test_labels_can_be_joined_by_naming_them_alike(tmp_path: Path) -> None:
    _csv(tmp_path / "t.csv", [f"text {i},{i % 4}" for i in range(40)])
    labels = {"3": "good", "0": "bad", "1": "bad", "2": "good"}
    splits = read_splits(Dataset(csv="t.csv", labels=labels), [tmp_path])
    assert splits.label_names == ("good", "bad")
    assert np.bincount(splits.train.labels).tolist() == [13, 13]


def test_class_names_and_splits_of_a_saved_folder(tmp_path: Path) -> None:
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["spam", "ham"])}
    )
    part = {"text": TEXTS[:20], "label": [i % 2 for i in range(20)]}
    other = {"text": TEXTS[20:], "label": [i % 2 for i in range(20)]}
    saved = {
        "train": datasets.Dataset.from_dict(part, features=features),
        "validation": datasets.Dataset.from_dict(other, features=features),
    }
    datasets.DatasetDict(saved).save_to_disk(tmp_path / "mails")
    splits = read_splits(Dataset(folder="mails"), [tmp_path])
    assert splits.label_names == ("spam", "ham")
    assert (len(splits.train), len(splits.validation), splits.test) == (20, 20, None)


def test_pair_columns_are_found(tmp_path: Path) -> None:
    _csv(tmp_path / "t.csv", [f"premise {i},claim {i},{i % 2}" for i in range(20)], "text_a,text_b,label")
    splits = read_splits(Dataset(csv="t.csv"), [tmp_path])
    assert splits.train.text_b is not None
    assert splits.train.text_b[0].replace("claim", "premise") == splits.train.text[0]


def test_validation_is_cut_from_train_if_it_is_not_given(tmp_path: Path) -> None:
    _csv(tmp_path / "train.csv", [f"text {i},{i % 2}" for i in range(50)])
    _csv(tmp_path / "test.csv", [f"other {i},{i % 2}" for i in range(10)])
    splits = read_splits(Dataset(train="train.csv", test="test.csv", validation_fraction=0.2), [tmp_path])
    assert {split: len(table) for split, table in splits.by_name().items()} == {
        "train": 40,
        "validation": 10,
        "test": 10,
    }


def test_names_are_short_and_never_paths(tmp_path: Path) -> None:
    folder = tmp_path / "sms"
    folder.mkdir()
    for name in ("train.csv", "mail_train.csv"):
        _csv(folder / name, [f"text {i},{i % 2}" for i in range(20)])
    assert read_splits(Dataset(train=str(folder / "train.csv"))).name == "sms"
    assert read_splits(Dataset(train=str(folder / "mail_train.csv"))).name == "mail"


def test_the_fingerprint_depends_on_content_and_split(tmp_path: Path) -> None:
    rows = [f"text {i},{i % 2}" for i in range(20)]
    prints = {}
    for name, content in {"a": rows, "b": rows, "c": [*rows[:-1], "text 19!,1"], "d": rows[::-1]}.items():
        _csv(tmp_path / f"{name}.csv", content)
        prints[name] = read_splits(Dataset(csv=f"{name}.csv"), [tmp_path]).fingerprint
    assert prints["a"] == prints["b"]
    assert len({prints[name] for name in "acd"}) == 3
    reseeded = read_splits(Dataset(csv="a.csv", split_seed=1), [tmp_path]).fingerprint
    assert reseeded != prints["a"]


@settings(max_examples=80, deadline=None)
@given(
    texts=st.lists(st.integers(0, 60), min_size=1, max_size=150),
    classes=st.integers(1, 4),
    seed=st.integers(0, 5),
    fractions=st.sampled_from([(0.1,), (0.1, 0.1), (0.3, 0.2), (0.9,)]),
)
def test_split_keeps_texts_together_and_classes_everywhere(
    texts: list[int], classes: int, seed: int, fractions: tuple[float, ...]
) -> None:
    keys = [(str(text), None) for text in texts]
    labels = np.array([text % classes for text in texts])
    parts = split_rows(keys, labels, fractions, seed)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(texts)))
    of_part = [{texts[row] for row in part} for part in parts]
    assert sum(map(len, of_part)) == len(set(texts))  # so no text is in two parts
    for label in set(labels.tolist()):
        distinct = len({text for text in texts if text % classes == label})
        reached = sum(any(text % classes == label for text in part) for part in of_part)
        assert reached == min(distinct, len(parts))
        assert any(text % classes == label for text in of_part[0])
    again = split_rows(keys, labels, fractions, seed)
    assert all((a == b).all() for a, b in zip(parts, again, strict=True))


def test_split_sizes_are_the_fractions(tmp_path: Path) -> None:
    parts = split_rows([(str(i), None) for i in range(1000)], np.arange(1000) % 7, (0.1, 0.25), 0)
    assert [len(part) for part in parts] == [650, 100, 250]


def test_overlap_counts_rows_of_the_second(tmp_path: Path) -> None:
    _csv(tmp_path / "a.csv", [f"text {i},{i % 2}" for i in range(30)])
    _csv(tmp_path / "b.csv", [f"text {i + 10},{i % 2}" for i in range(30)])
    a, b = (read_splits(Dataset(train=f, validation_fraction=0.5), [tmp_path]) for f in ("a.csv", "b.csv"))
    expected = len(set(a.train.text) & set(b.train.text))
    assert count_shared_rows(a.train, b.train) == expected > 0


def test_roots_are_looked_in_in_order(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        _csv(tmp_path / name / "t.csv", [f"{name} {i},{i % 2}" for i in range(20)])
    splits = read_splits(Dataset(csv="t.csv"), [tmp_path / "none", tmp_path / "two", tmp_path / "one"])
    assert all(text.startswith("two") for text in _all_texts(splits))


def test_missing_files_are_all_named_with_the_roots(tmp_path: Path) -> None:
    problems = _problems(Dataset(train="a.csv", validation="b.csv"), tmp_path)
    assert [problem.split(":")[0] for problem in problems] == ["a.csv", "b.csv"]
    assert all(str(tmp_path) in problem for problem in problems)


def test_hub_without_a_network_is_one_sentence(tmp_path: Path) -> None:
    (problem,) = _problems(Dataset(hub="nobody/no-such-data"), tmp_path)
    assert problem.startswith("nobody/no-such-data: cannot be loaded from the Hugging Face hub")
    assert "\n" not in problem


@pytest.mark.parametrize("kind", ["csv", "json", "parquet", "folder", "hub", "train"])
def test_settings_survive_being_written_down(kind: str) -> None:
    dataset = Dataset(**{kind: "a"})
    assert Dataset.model_validate_json(dataset.model_dump_json(by_alias=True)) == dataset


@pytest.mark.parametrize("name", ["csv", "pandas", "../data", "a/b/c"])
def test_hub_takes_only_hub_names(tmp_path: Path, name: str) -> None:
    (problem,) = _problems(Dataset(hub=name), tmp_path)
    assert "owner/name" in problem


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "the file is empty"),
        (b"\xef\xbb\xbf\n", "the file is empty"),
        (b"text,label\n", "no row below"),
        (b"text,text\na,b\n", "the column 'text' occurs 2 times"),
        (b"text,label\na,b\nc,d,e\nf\n", "line 3: 3 cells where the header has 2 (text, label); 2 such rows"),
        (b'text,label\n"a\nb",x\nc\n', "line 4: 1 cells where"),
        (b'text,label\na,x\n"never closed,y\nc,d\n', "line 3: unexpected end of data"),
        (b'text,label\n"a"b,x\n', "line 2: ',' expected after"),
        (b"text,label\na,x\ncaf\xe9,y\n", "line 3: byte 0xe9 is not UTF-8"),
        (b"\xff\xfet\x00e\x00", "line 1: byte 0xff is not UTF-8"),
        (b"text,label\na,x\nb\x00,y\n", "line 3: a NUL byte"),
        (b"message,label\na,x\n", "no column 'text' for the text; there are 'message', 'label'"),
        (b"text;label\na; b;x\n", "there are 'text;label'; the separator seems to be ';': set `separator: semicolon`"),
        (b"texts,Label\na,x\n", "did you mean 'texts'?"),
    ],
)
def test_broken_csv_gives_a_readable_sentence(tmp_path: Path, content: bytes, expected: str) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    problems = _problems(Dataset(csv="t.csv"), tmp_path)
    assert all(problem.startswith("t.csv: ") for problem in problems)
    assert expected in problems[0]


@pytest.mark.parametrize(
    ("kind", "content", "expected"),
    [
        ("json", b'{"text": "a", "label": 1}\n{"text": \n', "line 2: no JSON object"),
        ("json", b'[1, {"text": "a", "label": 1}]', "line 1: a JSON int, not an object"),
        ("json", b'{"text": "caf\xe9"}', "line 1: byte 0xe9"),
        ("parquet", b"not parquet at all", "cannot be read as Parquet"),
        ("parquet", b"", "cannot be read as Parquet"),
        ("folder", b"x", "is a file"),
        ("train", b"x", "unknown kind of file"),
    ],
)
def test_other_broken_files(tmp_path: Path, kind: str, content: bytes, expected: str) -> None:
    (tmp_path / "t.bin").write_bytes(content)
    (problem,) = _problems(Dataset(**{kind: "t.bin"}), tmp_path)
    assert problem.startswith("t.bin: ")
    assert expected in problem


def test_folder_that_datasets_did_not_write(tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    (problem,) = _problems(Dataset(folder="t"), tmp_path)
    assert problem.startswith("t: holds neither dataset_info.json nor dataset_dict.json")
    (problem,) = _problems(Dataset(csv="t"), tmp_path)
    assert problem.startswith("t: is a folder")
