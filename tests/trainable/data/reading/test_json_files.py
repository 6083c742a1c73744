"""JSON lines, JSON arrays, and files that are neither."""

import json

import pandas
import pytest

from trainable.data.reading.json_files import read_json
from trainable.errors import ConfigError

ROWS = [{"text": f"words {i}\n[,]", "label": i % 2} for i in range(5)]
FRAME = pandas.DataFrame(ROWS)


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("around", ["", "\n", " \r\n"])
def test_an_array_reads_like_lines(indent: int | None, around: str) -> None:
    lines = read_json("\n".join(map(json.dumps, ROWS)), "t.jsonl")
    array = read_json(around + json.dumps(ROWS, indent=indent) + around, "t.json")
    assert array.columns == lines.columns
    assert (array.rows, lines.lines) == (5, [1, 2, 3, 4, 5])


def test_elements_of_an_array_know_their_lines() -> None:
    assert read_json('\n[{"a": 1},\n\n {"a": 2}\n,{"a": 3}\n]', "t.json").lines == [2, 4, 5]
    assert read_json('[{"a": 1}, {"a": 2}]', "t.json").position(1) == "row 2"


def test_what_pandas_writes_for_each_row_is_read() -> None:
    for content in (FRAME.to_json(orient="records"), FRAME.to_json(orient="records", lines=True)):
        assert read_json(content, "t.json").cells("text") == [row["text"] for row in ROWS]


@pytest.mark.parametrize("orient", ["columns", "index", "split", "table"])
def test_other_forms_of_pandas_are_refused_with_the_right_one(orient: str) -> None:
    content = FRAME.to_json(orient=orient)  # type: ignore[call-overload]
    with pytest.raises(ConfigError, match=r"the whole file is one JSON object \('.*to_json\(orient=\"records\"\)"):
        read_json(content, "t.json")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (json.dumps({"data": ROWS}, indent=1), "one JSON object ('data')"),
        (json.dumps({"text": ["a"], "label": ["b"]}), "one JSON object ('text', 'label')"),
        ('[{"a": 1},\n{"a": }]', "line 2: no JSON object (Expecting value, column 7)"),
        ('[{"a": 1},\n{"a": 1, "a": 2}]', "line 2: no JSON object (the name 'a' occurs twice)"),
        ('[{"a": 1},\n{"a": 2}', "line 2: no JSON array"),
        ('[{"a": 1}]\n[{"a": 2}]', "line 1: no JSON array"),
        ('[{"a": 1}\n{"a": 2}]', "line 2: no JSON array"),
        ('[{"a": 1},\n]', "line 2: no JSON object"),
        ('[{"a": 1},\n2, null]', "line 2: a JSON int, not an object; 2 such lines"),
        ("[]", "the array is empty"),
        ("[", "line 1: no JSON"),
        ('{"a": 1}\n[1]', "line 2: a JSON list, not an object; 1 such line"),
        ('{\n"a": 1\n}', "line 1: no JSON object"),
        ('{"a": 1}\n{"a": 1', "line 2: no JSON object"),
    ],
)
def test_mistakes_name_their_line(content: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_json(content, "t.json")
    assert f"t.json: {says}" in str(caught.value).replace("the whole file is ", "")


def test_a_file_may_have_one_line() -> None:
    assert read_json('{"text": "a", "tags": ["b"]}', "t.jsonl").rows == 1
