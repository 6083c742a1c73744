from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yaml_text import dump_yaml

from trainable.errors import ConfigError
from trainable.settings.yaml_file import load_yaml, parse_yaml

LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12)
)

HOSTILE = {
    "duplicate key": ("a: 1\nb:\n  c: 1\n  c: 2\n", "f.yaml:4:3: the key 'c' occurs twice, first on line 3"),
    "duplicate key in another form": ('a: 1\n"a": 2\n', "f.yaml:2:1: the key 'a' occurs twice, first on line 1"),
    "billion laughs": (LAUGHS, "more than 20000 values; an alias counts"),
    "alias of itself": ("a: &x [*x]", "nested deeper than 32 levels"),
    "many values": ("a: [" + "1," * 30_000 + "]", "more than 20000 values"),
    "deep list": ("a: " + "[" * 50_000, "nested deeper than 32 levels"),
    "deep block": ("".join(" " * i + "a:\n" for i in range(200)), "nested deeper than 32 levels"),
    "code": ("a: !!python/object/apply:os.system ['true']", "f.yaml:1:4: the tag !!python/object/apply:os.system"),
    "own tag": ("a: !secret x", "f.yaml:1:4: the tag !secret is not allowed"),
    "tagged mapping": ("a: !!set {x: null}", "f.yaml:1:4: the tag !!set is not allowed"),
    "tag that lies": ("a: !!int abc", "f.yaml:1:4: 'abc' is not of type int"),
    "unknown alias": ("a: *b", "f.yaml:1:4: found undefined alias"),
    "empty": ("", "f.yaml: is empty"),
    "comments only": ("# nothing\n", "f.yaml: is empty"),
    "null": ("---\n", "f.yaml: must contain a mapping"),
    "list": ("- a\n", "not a list"),
    "scalar": ("hello", "not a single value"),
    "two documents": ("a: 1\n---\nb: 2", "f.yaml:2:1: expected a single document in the stream, but found another"),
    "tab": ("a:\n\tb: 1", "f.yaml:2:1: found character '\\t' that cannot start any token; indent with spaces"),
    "unclosed": ("a: [1, 2\nb: 3", "f.yaml:2:2: "),
    "unclosed quote": ("a: 'x\n", "while scanning a quoted scalar that began on line 1"),
    "two colons": ("a: b: c", "f.yaml:1:5: mapping values are not allowed here"),
    "control character": ("a: x\nb: \x01", "f.yaml:2: the character '\\x01' is not allowed in YAML"),
    "NUL by escape": ('a: "x\\0"', "text with a NUL"),
    "half a surrogate": ('a: "\\ud800"', "half a surrogate pair"),
    "key that is a list": ("? [1]\n: 2", "f.yaml:1:3: a key must be text"),
    "no key": ('"": 1', "a key must be text"),
    "endless number": ("a: " + "9" * 5000, "a whole number of 5000 digits is too long"),
}


@pytest.mark.parametrize(("content", "words"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_is_refused_in_one_sentence(content: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_yaml(content, "f.yaml")
    (problem,) = caught.value.problems
    assert problem.startswith("f.yaml:")
    assert words in problem
    assert "\n" not in problem


def test_scalars_follow_yaml_1_2() -> None:
    content = """
    number: [1e-5, 5E-4, 1., .5, +3, -0, 010, 0x1F, 0o17, -.inf]
    truth: [true, False, TRUE]
    text: [yes, No, on, off, y, 2024-01-01, 1_000, 12:30, "1", 0b1, '', <<]
    nothing: [null, ~, ]
    tagged: [!!str 1, !!float 1, !!int "2"]
    """
    read = parse_yaml(content, "f.yaml")
    assert read["number"] == [1e-5, 5e-4, 1.0, 0.5, 3, 0, 10, 31, 15, -float("inf")]
    assert read["truth"] == [True, False, True]
    assert read["text"] == ["yes", "No", "on", "off", "y", "2024-01-01", "1_000", "12:30", "1", "0b1", "", "<<"]
    assert read["nothing"] == [None, None]
    assert [(type(value), value) for value in read["tagged"]] == [(str, "1"), (float, 1.0), (int, 2)]


def test_keys_are_text_as_written() -> None:
    assert parse_yaml("{0: ham, 1.0: spam, true: x, on: y, ~: z}", "f") == {
        "0": "ham",
        "1.0": "spam",
        "true": "x",
        "on": "y",
        "~": "z",
    }


def test_a_name_without_a_value_needs_no_space_after_its_colon() -> None:
    assert parse_yaml("{a:, b: [c:, d]}", "f") == {"a": None, "b": [{"c": None}, "d"]}


def test_an_alias_gives_a_copy() -> None:
    read = parse_yaml("a: &x {b: [1]}\nc: *x", "f")
    assert read == {"a": {"b": [1]}, "c": {"b": [1]}}
    assert read["a"] is not read["c"]


text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
awkward = st.sampled_from(
    ["1e-5", "yes", "null", "~", "0o7", "0x1", ".5", "1_0", "=", "<<", "- a", "a: b", " x", "#", "\t"]
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | text | awkward,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries((text | awkward).filter(bool), inner, max_size=4),
    max_leaves=12,
)


@given(mapping=st.dictionaries((text | awkward).filter(bool), values, max_size=4))
def test_a_dumped_mapping_reads_back_the_same(mapping: dict[str, object]) -> None:
    assert repr(parse_yaml(dump_yaml(mapping), "f")) == repr(mapping)


@given(st.text(st.sampled_from("abc:-[]{}&*!|>'\"#%@,?~ \n\t01."), max_size=60))
def test_any_text_is_a_mapping_or_one_sentence(content: str) -> None:
    try:
        assert isinstance(parse_yaml(content, "f"), dict)
    except ConfigError as error:
        assert len(error.problems) == 1


FILES = {
    "latin-1": (b"a: 1\nb: caf\xe9\n", "f.yaml:2: is not UTF-8 (byte 0xe9)"),
    "UTF-16": ("a: 1".encode("utf-16"), "f.yaml:1: is not UTF-8"),
    "too long": (b"a: 1\n" + b"# " * 500_000, "is longer than 1000000 bytes"),
    "binary": (b"\x89PNG\r\n\x1a\n\0\0", "f.yaml:1: is not UTF-8"),
}


@pytest.mark.parametrize(("raw", "words"), FILES.values(), ids=FILES)
def test_a_file_that_is_not_utf_8_or_too_long_is_refused(tmp_path: Path, raw: bytes, words: str) -> None:
    path = tmp_path / "f.yaml"
    path.write_bytes(raw)
    with pytest.raises(ConfigError) as caught:
        load_yaml(path)
    assert words in caught.value.problems[0]


def test_a_missing_file_a_folder_and_a_device_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load_yaml(tmp_path / "none.yaml")
    for path in (tmp_path, "/dev/zero"):
        with pytest.raises(ConfigError, match="is a folder or device, not a file"):
            load_yaml(path)


def test_a_byte_order_mark_is_not_part_of_the_first_key(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n")
    assert load_yaml(path) == {"a": 1, "b": 2}
