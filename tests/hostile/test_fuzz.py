"""Any text is an experiment or is refused, and any bytes are a table or are refused: there is no other exception."""

import csv
import io
import json
import re
import string
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from search.errors import PlanError, format_problems
from search.plan.plan import load_plan
from spaces import shipped
from trainable.data.reading.csv_files import read_csv
from trainable.errors import ConfigError
from trainable.settings.dataset import Dataset
from trainable.tasks.registry import read_dataset

QUICKSTART = shipped()["quickstart"].read_text(encoding="utf-8")
quick = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def load_or_refuse(file: Path, content: bytes) -> None:
    """Check that the file is a plan, or is refused in lines that a terminal can show."""
    file.write_bytes(content)
    try:
        load_plan(file)
    except PlanError as error:
        assert error.problems
        assert all(line.isprintable() and line.strip() for line in format_problems(error.problems).splitlines())


@quick
@given(content=st.text(max_size=200).map(str.encode) | st.binary(max_size=200))
def test_any_text_is_an_experiment_or_refused(content: bytes, tmp_path: Path) -> None:
    load_or_refuse(tmp_path / "any.yaml", content)


SCALARS = [
    "-1",
    "0",
    "1e309",
    ".nan",
    "[]",
    "{}",
    "~",
    "yes",
    "''",
    "9" * 30,
    "true",
    "[1, 2]",
    "{int: [0, 1]}",
    "*x",
    "&x 1",
    "!!int a",
]


@st.composite
def mutations(draw: st.DrawFn) -> str:
    """Return the shipped experiment with some lines deleted, repeated, swapped or indented, and some values changed."""
    lines = QUICKSTART.splitlines()
    for _ in range(draw(st.integers(1, 4))):
        where = draw(st.integers(0, len(lines) - 1))
        kind = draw(st.sampled_from(["delete", "repeat", "swap", "indent", "value", "value", "name", "cut"]))
        line = lines[where]
        if kind == "delete" and len(lines) > 1:
            del lines[where]
        elif kind == "repeat":
            lines.insert(where, line)
        elif kind == "swap":
            other = draw(st.integers(0, len(lines) - 1))
            lines[where], lines[other] = lines[other], line
        elif kind == "indent":
            lines[where] = " " * draw(st.integers(0, 6)) + line.lstrip()
        elif kind == "value":
            new = draw(st.sampled_from(SCALARS))
            lines[where] = re.sub(r"(?<=[:\[,] )[^\s,\]}{\[]+", lambda _, new=new: new, line, count=1)
        elif kind == "name":
            lines[where] = re.sub(r"\w+(?=:)", draw(st.text(string.ascii_lowercase, max_size=4)), line, count=1)
        else:
            lines[where] = line[: draw(st.integers(0, len(line)))]
    return "\n".join(lines)


@quick
@given(content=mutations())
def test_any_change_to_an_experiment_is_one_or_refused(content: str, tmp_path: Path) -> None:
    load_or_refuse(tmp_path / "changed.yaml", content.encode())


def read(kind: str, file: Path, content: bytes) -> None:
    """Check that the file is a table that can be read, or is refused with its name in the message."""
    file.write_bytes(content)
    try:
        read_dataset(Dataset.model_validate({kind: str(file)}))
    except ConfigError as error:
        assert error.problems
        assert all(str(file) in problem or "split" in problem for problem in error.problems)


CELLS = st.sampled_from(
    ["text", "label", "a", "b", "1", "", " ", "\ufeff", '"', ",", "\n", "\r", "\t", "\0", "=1", "é", "🙂"]
)


@quick
@given(content=st.binary(max_size=200) | st.lists(CELLS, max_size=40).map(lambda cells: "".join(cells).encode()))
def test_any_bytes_are_a_csv_or_refused(content: bytes, tmp_path: Path) -> None:
    read("csv", tmp_path / "any.csv", content)


NAMES = st.sampled_from(["text", "label", "x"])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["text", "label", "x"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@quick
@given(
    content=st.binary(max_size=200)
    | st.lists(json_values, max_size=8).map(lambda v: "\n".join(map(json.dumps, v)).encode())
)
def test_any_bytes_are_json_lines_or_refused(content: bytes, tmp_path: Path) -> None:
    read("json", tmp_path / "any.jsonl", content)


@pytest.fixture(scope="module")
def parquet() -> bytes:
    sink = io.BytesIO()
    columns = {"text": [f"text {i % 7}" for i in range(60)], "label": pa.array(["a", "b"] * 30).dictionary_encode()}
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


@quick
@given(data=st.data())
def test_any_damage_to_parquet_is_refused_or_harmless(data: st.DataObject, parquet: bytes, tmp_path: Path) -> None:
    content = bytearray(parquet)
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=8)):
        content[place] = data.draw(st.integers(0, 255))
    read("parquet", tmp_path / "any.parquet", bytes(content[: data.draw(st.integers(0, len(content)))] or content))


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)


@quick
@given(rows=st.lists(st.tuples(texts, texts), min_size=1, max_size=6), kind=st.sampled_from(["csv", "tsv"]))
def test_a_file_of_the_csv_module_reads_back_the_same(rows: list[tuple[str, str]], kind: str, tmp_path: Path) -> None:
    file = tmp_path / f"a.{kind}"
    with file.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream, delimiter="\t" if kind == "tsv" else ",").writerows([("one", "two"), *rows])
    raw = read_csv(file.read_bytes().decode(), file.name)
    assert list(zip(raw.cells("one"), raw.cells("two"), strict=True)) == rows


@quick
@given(body=st.text('ab",;\n', min_size=1), quoting=st.sampled_from([None, "double", "none"]))
def test_a_note_says_if_there_are_fewer_rows_than_lines(body: str, quoting: str | None) -> None:
    lines = [line for line in f"one,two\n{body}".split("\n") if line]
    try:
        table = read_csv("\n".join(lines), "a.csv", ",", quoting)
    except ConfigError:
        return
    assert table.rows == len(lines) - 1 or (quoting != "none" and "quoted cell of several lines" in table.notes[0])
