"""CSV files: messages name the likely separator, and quotes never join rows silently."""

import csv
import io

import pandas
import pytest

from trainable.data.reading.csv_files import read_csv
from trainable.errors import ConfigError
from trainable.settings.dataset import SEPARATORS

LABELS = ["good", "bad"]
ROWS = [[f"some words, {i}", LABELS[i % 2]] for i in range(20)]


def written(rows: list[list[str]], separator: str = ",", quoting: int = csv.QUOTE_MINIMAL) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, delimiter=separator, quoting=quoting)  # type: ignore[arg-type]
    writer.writerows([["text", "label"], *rows])
    return stream.getvalue()


@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
@pytest.mark.parametrize(("name", "separator"), SEPARATORS.items())
def test_the_message_names_the_separator_that_reads_the_file(name: str, separator: str, quoting: int) -> None:
    content = written(ROWS, separator, quoting)
    file = "t.tsv" if separator == "," else "t.csv"
    with pytest.raises(ConfigError, match=rf"{file}: the separator looks like .*; set `separator: {name}`"):
        read_csv(content, file)
    assert read_csv(content, file, separator).rows == 20


def test_a_wrong_separator_is_reported_before_other_mistakes() -> None:
    content = 'text;label\n"Very good";positive\nso, so;negative\none, two, three;negative\n'
    with pytest.raises(ConfigError, match="set `separator: semicolon`"):
        read_csv(content, "t.csv")


def test_punctuation_in_texts_is_not_taken_for_a_separator() -> None:
    assert read_csv("text\na; b\nc; d; e\n", "t.csv").rows == 2
    assert read_csv("text,label\na; b,1\nc; d,0\n", "t.csv").rows == 2


LONG = [
    "Hello, friend\nhow are you, today?\nbye, now",
    'Pros:\r\n- cheap, light\r\n- "quiet"\r\n\r\nCons, none',
    "a\rb",
    '"\n"',
    "1,2\n3,4",
]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])
def test_well_formed_cells_of_several_lines_are_read_and_counted(separator: str, quoting: int) -> None:
    rows = [row for text in LONG for row in ([text, "good"], ["one line", "bad"])]
    table = read_csv(written(rows, separator, quoting), "t.csv", separator)
    assert table.cells("text") == [text for text, _ in rows]
    assert table.notes == ("t.csv: 5 rows with a quoted cell of several lines, the first on lines 2 to 4",)


def test_what_pandas_writes_is_read() -> None:
    texts = [text for text in LONG if text != "a\rb"]
    frame = pandas.DataFrame({"id": range(4), "text": texts, "label": ["a", "b", "a", "b"]})
    table = read_csv(frame.to_csv(), "t.csv")
    assert table.cells("text") == texts
    assert list(table.columns) == ["", "id", "text", "label"]


JOINED = {
    "the next label": 'text,label\n"A quote opens,good\nother words,bad\nends here",good\nwords,bad\n',
    "numbers": 'id,text\n1,"A quote opens\n2,other words\n3,ends here"\n4,words\n5,words\n',
    "GLUE, three columns": 'index\tsentence\tlabel\n0\t"Opens here\t1\n1\twords\t0\n2\tends"\t1\n3\twords\t0\n',
    "GLUE, pairs without a label": 's1\ts2\n"Opens\tb\nc\td\ne"\tf\ng\th\n',
    "two rows": 'text\tlabel\n"Opens\t1\nends"\t0\nwords\t1\n',
    "labels first": 'label,text\ngood,"Opens\nbad,words\ngood,ends"\nbad,words\n',
    "quotes within other cells": 'text,kind\n"Opens,c\nends",a\nsaid "no" twice,b\n',
    "no end": 'text\tlabel\nwords\t0\n"Opens\t1\nwords\t0\n',
    "an end in another column": 'a\tb\tlabel\n"Opens\tx\t1\nwords\tends"\t0\nwords\tx\t1\n',
    "a quoted word begins": 'text\tlabel\n"Good" he said\t1\n',
    "a quote that is not doubled": 'text,label\n"a "b" c",1\n',
}


@pytest.mark.parametrize("content", JOINED.values(), ids=JOINED)
def test_rows_that_a_quote_joins_are_refused_and_read_without_quoting(content: str) -> None:
    name = "t.tsv" if "\t" in content else "t.csv"
    number = next(i for i, line in enumerate(content.splitlines(), start=1) if line.count('"') == 1 or '"' in line)
    with pytest.raises(ConfigError, match=rf"{name}: line {number}: .*`quoting: none`"):
        read_csv(content, name)
    table = read_csv(content, name, quoting="none")
    assert table.rows == len(content.splitlines()) - 1
    assert table.notes == ()
    assert sum(cell.count('"') for name in table.columns for cell in table.cells(name)) == content.count('"')


JOINED_BY_SEMICOLONS = 'text;label\n"one; two;good\nthree; four";bad\n"five; six";good\nseven;bad\n'


def test_a_text_with_semicolons_hides_no_row() -> None:
    """There are more cells than columns, but the line ends with a label."""
    with pytest.raises(ConfigError, match=r"line 2: .*line 2 reads like a row of its own.*`quoting: none`"):
        read_csv(JOINED_BY_SEMICOLONS, "t.csv", ";")
    well_formed = JOINED_BY_SEMICOLONS.replace("two;good", "two; good")
    assert read_csv(well_formed, "t.csv", ";").cells("text")[0] == "one; two; good\nthree; four"


def test_a_carriage_return_that_pandas_did_not_quote_is_refused() -> None:
    content = pandas.DataFrame({"text": ["one", "a\rb", "c"]}).to_csv(index=False)
    assert '"' not in content
    with pytest.raises(ConfigError, match="t.csv: line 3: ends in a carriage return, other lines in a line feed"):
        read_csv(content, "t.csv")


def test_a_cell_of_several_lines_that_looks_like_rows_can_be_allowed() -> None:
    content = 'text,label\n"list of\nbad,good\nends here",good\nwords,bad\n'
    with pytest.raises(ConfigError, match="line 2: .* runs from here to line 4, yet line 3 reads like a row"):
        read_csv(content, "t.csv")
    assert read_csv(content, "t.csv", quoting="double").rows == 2


def test_blank_lines_are_counted() -> None:
    assert read_csv("text\na\n\nb\n\n\n", "t.csv").notes == ("t.csv: 1 blank line left out, the first is line 3",)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_line_end_is_read(end: str) -> None:
    table = read_csv(end.join(["text,label", "a,1", '"b,c",2', ""]), "t.csv")
    assert (table.cells("text"), table.lines, table.notes) == (["a", "b,c"], [2, 3], ())


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("text,label,,\na,b,,\n", "line 1: the column '' occurs 2 times"),
        ("text,label\na,b,\nc,d,\n", "line 2: 3 cells where the header has 2"),
        ("text,label,\na,b\n", "line 2: 2 cells where the header has 3"),
        ("text,label\na,b\nc,d,e\n\nf\n", r"line 3: 3 cells where the header has 2 \(text, label\); 2 such rows"),
        ('text,label\n"a\nb",c,d\n', "line 2: 3 cells in a row that ends on line 3 where the header has 2"),
    ],
)
def test_ragged_rows_and_odd_headers_name_their_line(content: str, says: str) -> None:
    with pytest.raises(ConfigError, match=f"t.csv: {says}"):
        read_csv(content, "t.csv")


def test_a_trailing_separator_on_every_line_is_a_column_without_a_name() -> None:
    assert list(read_csv("text,label,\na,b,\n", "t.csv").columns) == ["text", "label", ""]
