"""Malformed data: `run` and `inspect` refuse them with a message that names the file, and write nothing."""

import csv
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

Refused = Callable[..., str]

ROWS = [(f"some words {i}", "good" if i % 2 else "bad") for i in range(40)]
CSV = "text,label\n" + "".join(f"{text},{label}\n" for text, label in ROWS)
LINES = "".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in ROWS)
BIG = "x" * 10_000_000
DEEP = "[" * 100_000

FILES: dict[str, tuple[str, str | bytes, str]] = {
    "empty": ("a.csv", "", "the file is empty"),
    "UTF-16": ("a.csv", CSV.encode("utf-16"), "line 1: byte 0xff is not UTF-8"),
    "UTF-16 without a mark": ("a.csv", CSV.encode("utf-16-le"), "a NUL byte"),
    "latin-1": ("a.csv", (CSV + "caf\xe9,bad\n").encode("latin-1"), "line 42: byte 0xe9 is not UTF-8"),
    "NUL": ("a.csv", CSV + "a\0b,bad\n", "line 42: a NUL byte"),
    "a mark and nothing": ("a.csv", b"\xef\xbb\xbf", "the file is empty"),
    "cut off in a quote": ("a.csv", CSV + '"some', "line 42"),
    "cut off in a row": ("a.csv", CSV + "some", "line 42: 1 cells where the header has 2"),
    "old Mac line ends": ("a.csv", CSV.replace("\n", "\r") + '"', "line 42"),
    "ten megabytes in one label": ("a.csv", CSV + f"a text,{BIG}\n", "different texts"),
    "ten megabytes in one text": (
        "a.csv",
        CSV + f"{BIG},good\n",
        "1 row with more than 1,000,000 characters in column 'text', the first on line 42: 10,000,000; cut",
    ),
    "ten megabytes in one text of JSON": ("a.json", json.dumps([{"text": BIG, "label": "a"}]), "line 1: 10,000,000;"),
    "ten megabytes in the header": ("a.csv", CSV.replace("label", BIG), "no column 'label'"),
    "ten megabytes twice in the header": ("a.csv", f"{BIG},{BIG}\na,b\n", "occurs 2 times"),
    "a million columns": ("a.csv", ",".join(map(str, range(1_000_000))) + "\n", "more than 4096 columns"),
    "a label for each row": (
        "a.csv",
        "text,label\n" + "".join(f"t{i},{i}\n" for i in range(3_000)),
        "different texts",
    ),
    "escape codes": ("a.csv", "te\x1b[2Jxt,label\na,b\n", "no column 'text'"),
    "Parquet as CSV": ("a.csv", b"PAR1\x15\x04\x15\x9e", "is not UTF-8"),
    "JSON cut off": ("a.jsonl", LINES[:-5], "line 40: no JSON object"),
    "JSON nested deeply": ("a.jsonl", f'{{"text": {DEEP}', "line 1: no JSON object"),
    "JSON nested deeply and whole": ("a.jsonl", f'{{"text": {DEEP}{DEEP.replace("[", "]")}}}', "line 1"),
    "JSON with a name twice": (
        "a.jsonl",
        LINES + '{"text": "a", "label": 1, "label": 2}',
        "line 41: no JSON object (the name 'label' occurs twice)",
    ),
    "JSON with a name twice below": (
        "a.jsonl",
        LINES + '{"text": "a", "n": {"b": 1, "b": 2}}',
        "the name 'b' occurs twice",
    ),
    "JSON with ever new names": (
        "a.jsonl",
        "".join(f'{{"{i}": 1}}\n' for i in range(20_000)),
        "more than 4096 columns",
    ),
    "JSON with a lone surrogate": ("a.jsonl", LINES + '{"text": "\\ud800", "label": "good"}', "half a character"),
    "JSON label of many digits": ("a.jsonl", LINES + f'{{"text": "a", "label": {"9" * 10_000}}}', "line 41: no JSON"),
    "JSON label that is no number": ("a.jsonl", LINES + '{"text": "a", "label": NaN}', "no label in column"),
    "JSON numbers as texts": ("a.jsonl", '{"text": 1e999, "label": 1}\n' * 9, "something else than text"),
    "JSON lists": ("a.jsonl", '["a", "good"]\n["b", "bad"]', "line 1: a JSON str, not an object"),
    "JSON list with a row and no label": ("a.jsonl", json.dumps([{"text": "a"}]), "no column 'label'"),
    "JSON array cut off": ("a.json", f"[{','.join(LINES.splitlines())}", "no JSON array"),
    "JSON array nested deeply": ("a.json", DEEP, "line 1: no JSON object"),
    "empty JSON array": ("a.json", "[ ]", "the array is empty"),
    "JSON by columns": ("a.json", json.dumps({"text": ["a"], "label": ["b"]}), "one JSON object ('text', 'label')"),
    "no Parquet": ("a.parquet", "PAR1", "cannot be read as Parquet"),
    "pickle as Parquet": ("a.parquet", b"\x80\x04\x95\x00", "cannot be read as Parquet"),
}


@pytest.fixture
def both_refuse(experiment: Callable[..., Path], run_refused: Refused, call: Callable[..., Any]) -> Callable[..., str]:
    """Return the message of `run` about a data set; `inspect` must refuse the file, too."""

    def check(kind: str, path: Path) -> str:
        message = run_refused(experiment({"trial.target.dataset": {kind: str(path)}}))
        result = call("inspect", path)
        assert result.exit_code == 2, result.output
        assert isinstance(result.exception, SystemExit)
        assert path.name in result.stderr
        return message

    return check


@pytest.mark.parametrize(("name", "content", "words"), FILES.values(), ids=FILES)
def test_a_malformed_file(
    name: str, content: str | bytes, words: str, tmp_path: Path, both_refuse: Callable[..., str]
) -> None:
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    message = both_refuse("train", tmp_path / name)
    assert str(tmp_path / name) in message
    assert words in message


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet"])
def test_a_path_that_is_not_a_file(
    name: str, not_a_file: Callable[[Path], None], tmp_path: Path, experiment: Callable[..., Path], run_refused: Refused
) -> None:
    not_a_file(tmp_path / name)
    assert f"{name}: " in run_refused(experiment({"trial.target.dataset": {"train": name}}))


def test_a_file_that_may_not_be_read(
    tmp_path: Path, unreadable: Callable[[Path], None], both_refuse: Callable[..., str]
) -> None:
    (tmp_path / "a.csv").write_text(CSV)
    unreadable(tmp_path / "a.csv")
    assert "a.csv: cannot be read: Permission denied" in both_refuse("csv", tmp_path / "a.csv")


@pytest.mark.parametrize(
    "name", ["x" * 5000 + ".csv", "~nobody-of-this-name/a.csv", "../" * 2000 + "a.csv", "a.csv/b.csv"]
)
def test_a_name_that_no_file_can_have(
    name: str, tmp_path: Path, experiment: Callable[..., Path], run_refused: Refused
) -> None:
    (tmp_path / "a.csv").write_text(CSV)
    message = run_refused(experiment({"trial.target.dataset": {"csv": name}}))
    assert name[:500] in message
    assert "no such file" in message or len(name) > 5000


def test_every_file_that_is_wrong_is_named_at_once(
    tmp_path: Path, experiment: Callable[..., Path], run_refused: Refused
) -> None:
    fifo, cut = {"csv": str(tmp_path / "fifo.csv")}, {"csv": str(tmp_path / "cut.csv")}
    os.mkfifo(tmp_path / "fifo.csv")
    (tmp_path / "cut.csv").write_text(CSV + "x")
    message = run_refused(experiment({"trial.source.dataset": fifo, "trial.target.dataset": cut}))
    assert "fifo.csv" in message
    assert "cut.csv" in message


def parquet(path: Path, **columns: Any) -> None:
    pq.write_table(pa.table({"text": [t for t, _ in ROWS], "label": [label for _, label in ROWS]} | columns), path)


def cut(path: Path) -> None:
    parquet(path)
    path.write_bytes(path.read_bytes()[:-40])


def damaged(path: Path) -> None:
    parquet(path)
    content = bytearray(path.read_bytes())
    content[8:60] = bytes(52)
    path.write_bytes(content)


def wrong_features(path: Path) -> None:
    """Write metadata that `datasets` cannot read."""
    table = pa.table({"text": ["a"], "label": ["b"]}).replace_schema_metadata({"huggingface": "{"})
    pq.write_table(table, path)


def odd_features(path: Path) -> None:
    features = {"info": {"features": {"text": {"_type": "os.system"}, "label": 3}}}
    table = pa.table({"text": ["a"], "label": ["b"]}).replace_schema_metadata({"huggingface": json.dumps(features)})
    pq.write_table(table, path)


PARQUET: dict[str, tuple[Callable[[Path], None], str]] = {
    "cut off": (cut, "cannot be read as Parquet"),
    "damaged": (damaged, "cannot be read as Parquet"),
    "features that are no JSON": (wrong_features, "cannot be read as Parquet"),
    "features of no kind": (odd_features, "cannot be read as Parquet"),
    "ten megabytes in one text": (lambda path: parquet(path, text=[BIG, *"a" * 39]), "the first on row 1: 10,000,000;"),
    "numbers as texts": (lambda path: parquet(path, text=list(range(40))), "something else than text"),
    "lists as texts": (lambda path: parquet(path, text=[["a"]] * 40), "something else than text"),
    "bytes as texts": (lambda path: parquet(path, text=[b"\xff\xfe"] * 40), "something else than text"),
    "structs as labels": (lambda path: parquet(path, label=[{"a": 1}] * 40), "no possible label"),
    "reals as labels": (lambda path: parquet(path, label=[0.5] * 40), "no possible label"),
    "nothing as labels": (lambda path: parquet(path, label=pa.nulls(40)), "no label in column"),
    "dates beyond the calendar": (
        lambda path: parquet(path, label=pa.array([2**60] * 40, pa.timestamp("us"))),
        "cannot be read",
    ),
    "no row": (lambda path: pq.write_table(pa.table({"text": [], "label": []}), path), "the train split is empty"),
    "no column": (lambda path: pq.write_table(pa.table({}), path), "no column 'text'"),
}


@pytest.mark.parametrize(("write", "words"), PARQUET.values(), ids=PARQUET)
def test_malformed_parquet(
    write: Callable[[Path], None], words: str, tmp_path: Path, both_refuse: Callable[..., str]
) -> None:
    write(tmp_path / "a.parquet")
    message = both_refuse("parquet", tmp_path / "a.parquet")
    assert "a.parquet" in message
    assert words in message


def saved(path: Path) -> None:
    datasets.Dataset.from_dict({"text": [t for t, _ in ROWS], "label": [label for _, label in ROWS]}).save_to_disk(path)


def without(name: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        saved(path)
        (path / name).unlink()

    return write


def with_content(name: str, content: str | bytes) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        saved(path)
        (path / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    return write


def climbing(path: Path) -> None:
    """Write a folder whose table is outside of it."""
    saved(path)
    (path / "data-00000-of-00001.arrow").rename(path.parent / "outside.arrow")
    state = json.loads((path / "state.json").read_text())
    state["_data_files"] = [{"filename": "../outside.arrow"}]
    (path / "state.json").write_text(json.dumps(state))


def piped(path: Path) -> None:
    saved(path)
    (path / "data-00000-of-00001.arrow").unlink()
    os.mkfifo(path / "data-00000-of-00001.arrow")


ARROW = "data-00000-of-00001.arrow"
FOLDERS: dict[str, tuple[Callable[[Path], None], str]] = {
    "empty": (Path.mkdir, "what `save_to_disk` wrote"),
    "without its table": (without(ARROW), "`datasets` cannot load it"),
    "without its state": (without("state.json"), "`datasets` cannot load it"),
    "without its info": (without("dataset_info.json"), "what `save_to_disk` wrote"),
    "table cut off": (with_content(ARROW, b"\xff\xff\xff\xff"), "`datasets` cannot load it"),
    "table that is a pickle": (with_content(ARROW, b"\x80\x04\x95\x00\x00\x00\x00"), "`datasets` cannot load it"),
    "state that is no JSON": (with_content("state.json", "{"), "`datasets` cannot load it"),
    "state that is a list": (with_content("state.json", "[]"), "`datasets` cannot load it"),
    "state nested deeply": (with_content("state.json", DEEP), "`datasets` cannot load it"),
    "info that is a list": (with_content("dataset_info.json", "[]"), "`datasets` cannot load it"),
    "info in latin-1": (with_content("dataset_info.json", b'{"description": "caf\xe9"}'), "`datasets` cannot load it"),
    "table outside": (climbing, "`datasets` cannot load it"),
    "FIFO for its table": (piped, "`datasets` cannot load it"),
}


@pytest.mark.parametrize(("write", "words"), FOLDERS.values(), ids=FOLDERS)
def test_a_malformed_folder(
    write: Callable[[Path], None], words: str, tmp_path: Path, both_refuse: Callable[..., str]
) -> None:
    write(tmp_path / "saved")
    message = both_refuse("folder", tmp_path / "saved")
    assert "saved: " in message
    assert words in message


def test_a_folder_that_is_the_whole_disk_is_refused_without_a_walk(
    experiment: Callable[..., Path], run_refused: Refused
) -> None:
    assert "what `save_to_disk` wrote" in run_refused(experiment({"trial.target.dataset": {"folder": "/"}}))


def test_links_to_files_elsewhere_are_followed(tmp_path: Path, call: Callable[..., Any]) -> None:
    """The user has made them: data are often on a larger disk."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "b.csv").write_text(CSV)
    (tmp_path / "a.csv").symlink_to("elsewhere/b.csv")
    result = call("inspect", tmp_path / "a.csv")
    assert result.exit_code == 0, result.output


def test_formulas_are_text_like_any_other(tmp_path: Path, call: Callable[..., Any]) -> None:
    stream = io.StringIO()
    csv.writer(stream).writerows([("text", "label"), *((f"=cmd|'/C calc'!A{i}", f"={i % 2}") for i in range(40))])
    (tmp_path / "a.csv").write_text(stream.getvalue())
    assert call("inspect", tmp_path / "a.csv").exit_code == 0
