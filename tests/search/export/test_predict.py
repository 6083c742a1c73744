import csv
import io
import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from transformers import pipeline
from typer.testing import CliRunner

from search.__main__ import app
from search.export.export import export_trial
from search.export.exportable import choose
from search.export.predict import predict_file
from search.storage.sweep_folder import SweepFolder
from trainable.errors import ConfigError


@pytest.fixture(scope="module")
def model(swept: SweepFolder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_trial(choose(swept.name, swept.storage, tmp_path_factory.mktemp("exported") / "model")).folder


def read(text: str, delimiter: str = ",") -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter))


def test_rows_keep_their_order_and_cells(model: Path, tweets_csv: Path, tmp_path: Path) -> None:
    output = tmp_path / "labelled.csv"
    predict_file(model, tweets_csv, output)
    given, labelled = read(tweets_csv.read_text()), read(output.read_text())
    live = tuple("=+-@")  # a spreadsheet would take such a text for a formula
    apart = [row | {"text": f"'{row['text']}" if row["text"].startswith(live) else row["text"]} for row in given]
    assert [{name: row[name] for name in ("text", "label")} for row in labelled] == apart
    classify = pipeline("text-classification", model=str(model), truncation=True)
    for row, theirs in zip(labelled, classify([row["text"] for row in given]), strict=True):
        assert row["predicted"] == theirs["label"]
        assert float(row["probability"]) == pytest.approx(theirs["score"], abs=2e-6)
        assert row["probability"] == row[f"p_{row['predicted']}"]
        assert float(row["p_negative"]) + float(row["p_positive"]) == pytest.approx(1, abs=2e-6)
    assert [file.name for file in tmp_path.iterdir()] == ["labelled.csv"]


def test_labels_are_not_needed_and_cells_stay_as_they_are(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [("a\rb", 'a "quoted", text\nof two lines'), ("007", "ü 漢字 🙂"), (" ", "x " * 3000)]
    file = tmp_path / "some.csv"
    with file.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([("id", "text"), *rows])
    predict_file(model, file, None)
    assert [(row["id"], row["text"]) for row in read(capsys.readouterr().out)] == rows


def test_other_kinds_of_files(model: Path, tmp_path: Path) -> None:
    rows = [{"text": "good", "n": 1, "tags": ["a"]}, {"text": "bad", "n": None, "tags": []}]
    (tmp_path / "some.jsonl").write_text("\n".join(map(json.dumps, rows)))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "some.parquet")
    for name in ("some.jsonl", "some.parquet"):
        predict_file(model, tmp_path / name, tmp_path / "out.tsv")
        found = read((tmp_path / "out.tsv").read_text(), "\t")
        assert [(r["text"], r["n"], r["tags"]) for r in found] == [("good", "1", '["a"]'), ("bad", "", "[]")]


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".JSON"])
def test_the_format_is_that_of_the_name(suffix: str, model: Path, tmp_path: Path) -> None:
    rows = [{"text": 'one, "two"', "n": "1"}, {"text": "a\nb", "n": ""}]
    (tmp_path / "some.json").write_text(json.dumps(rows))
    output = tmp_path / f"out{suffix}"
    predict_file(model, tmp_path / "some.json", output)
    content = output.read_text()
    if suffix.lower() == ".json":
        found = json.loads(content)
    elif "json" in suffix:
        found = [json.loads(line) for line in content.splitlines()]
    else:
        found = read(content, "\t" if suffix == ".tsv" else ",")
    assert [{"text": row["text"], "n": row["n"]} for row in found] == rows


@pytest.mark.parametrize("name", ["out", "out.xlsx", "out.parquet", "out.csv.gz", ".csv", "out.txt"])
def test_a_format_that_is_not_known_is_refused_before_anything_is_read(name: str, model: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match="the suffix is not that of a known format; known are .csv, .tsv, .json, .jsonl"
    ):
        predict_file(model, tmp_path / "there is none.csv", tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_there_are_as_many_rows_as_were_read(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, output = tmp_path / "glue.tsv", tmp_path / "out.jsonl"
    file.write_text('id\ttext\n0\t"Quite good\n1\tnot so good\n2\tthe end"\n3\tfine\n')
    with pytest.raises(ConfigError, match="line 2: a quoted cell runs from here to line 4"):
        predict_file(model, file, output)
    predict_file(model, file, output, {"quoting": "none"})
    found = [json.loads(line) for line in output.read_text().splitlines()]
    assert [row["text"] for row in found] == ['"Quite good', "not so good", 'the end"', "fine"]
    assert capsys.readouterr().err == ""
    file.write_text('text\n"two\nlines"\n\none\n')
    predict_file(model, file, output)
    assert len(output.read_text().splitlines()) == 2
    notes = capsys.readouterr().err
    assert "1 row with a quoted cell of several lines, the first on lines 2 to 3" in notes
    assert "1 blank line left out, the first is line 4" in notes


def test_how_a_file_is_read_can_be_set(model: Path, tmp_path: Path) -> None:
    file, output = tmp_path / "some.csv", tmp_path / "out.jsonl"
    file.write_bytes("id;text\n1;café\n".encode("latin-1"))
    with pytest.raises(ConfigError, match="set `encoding: windows-1252`"):
        predict_file(model, file, output)
    with pytest.raises(ConfigError, match="set `separator: semicolon`"):
        predict_file(model, file, output, {"encoding": "windows-1252"})
    predict_file(model, file, output, {"encoding": "windows-1252", "separator": "semicolon"})
    assert json.loads(output.read_text())["text"] == "café"
    with pytest.raises(ConfigError, match="--set label: `predict` takes only separator, quoting, encoding"):
        predict_file(model, file, output, {"label": "kind"})


def test_rows_without_a_text_are_refused_or_labelled_and_never_left_out(model: Path, tmp_path: Path) -> None:
    file, output = tmp_path / "some.csv", tmp_path / "out.jsonl"
    file.write_text("id,text\n1,\n2,fine\n3, \n")
    with pytest.raises(
        ConfigError, match="2 rows with no text in column 'text', the first on line 2; fill such rows, or"
    ):
        predict_file(model, file, output)
    predict_file(model, file, output, {"empty": "keep"})
    assert all(row["predicted"] in {"negative", "positive"} for row in map(json.loads, output.open()))
    predict_file(model, file, output, {"empty": "drop"})
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    assert [row["id"] for row in rows] == ["1", "2", "3"]
    assert [row["predicted"] is None for row in rows] == [True, False, True]
    assert rows[0]["p_negative"] is None and 0 < rows[1]["p_negative"] < 1


def test_rows_without_a_text_are_taken_as_the_model_has_learnt_them(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copied = Path(shutil.copytree(model, tmp_path / "model"))
    facts = json.loads((copied / "trial.json").read_text())
    assert facts["settings"]["target.dataset"]["empty"] == "error"
    file = tmp_path / "some.csv"
    file.write_text("id,text\n1,\n2, \n")
    for empty, labelled, said in (("keep", True, "labelled"), ("drop", False, "left without a label")):
        facts["settings"]["target.dataset"]["empty"] = empty
        (copied / "trial.json").write_text(json.dumps(facts))
        predict_file(copied, file, None)
        out, notes = capsys.readouterr()
        assert [bool(row["predicted"]) for row in read(out)] == [labelled, labelled]
        assert f"2 rows with no text in column 'text', the first on line 2; {said} (`empty: {empty}`)" in notes
    with pytest.raises(ConfigError, match="no text"):
        predict_file(copied, file, None, {"empty": "error"})


def test_no_file_is_replaced_unless_asked(model: Path, tweets_csv: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.csv"
    output.write_text("mine")
    command = ["predict", str(model), str(tweets_csv), "--output", str(output)]
    refused = CliRunner().invoke(app, command)
    assert refused.exit_code == 2 and "exists" in refused.stderr and output.read_text() == "mine"
    assert CliRunner().invoke(app, [*command, "--force"]).exit_code == 0
    assert "predicted" in output.read_text(encoding="utf-8")


def test_pairs(swept_pairs: SweepFolder, tmp_path: Path) -> None:
    model = export_trial(choose(swept_pairs.name, swept_pairs.storage, tmp_path / "model")).folder
    (tmp_path / "pairs.tsv").write_text("said\tanswer\nhow are you\tfine\n")
    predict_file(model, tmp_path / "pairs.tsv", tmp_path / "out.csv")
    (row,) = read((tmp_path / "out.csv").read_text())
    theirs = pipeline("text-classification", model=str(model))({"text": "how are you", "text_pair": "fine"})
    assert (row["predicted"], float(row["probability"])) == (theirs["label"], pytest.approx(theirs["score"], abs=2e-6))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("message\nhello\n", "no column 'text', which this model reads; there are 'message'"),
        ("text,id\nhello,1\n ,2\n", "1 row with no text in column 'text', the first on line 3"),
        ("text,predicted\nhello,1\n", "has the columns 'predicted' already"),
        ("text\n", "no row below"),
    ],
)
def test_mistakes_in_the_file_are_named(model: Path, tmp_path: Path, content: str, says: str) -> None:
    (tmp_path / "some.csv").write_text(content)
    with pytest.raises(ConfigError, match=says):
        predict_file(model, tmp_path / "some.csv", tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


def test_mistakes_on_the_command_line_are_named(model: Path, tweets_csv: Path, tiny_bert: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not a folder that `transfersweep export` wrote"):
        predict_file(Path(tiny_bert), tweets_csv, None)
    with pytest.raises(ConfigError, match="no such file"):
        predict_file(model, tmp_path / "none.csv", None)
    with pytest.raises(ConfigError, match="make it first"):
        predict_file(model, tweets_csv, tmp_path / "none" / "out.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(ConfigError, match="not a plain file"):
        predict_file(model, tweets_csv, tmp_path / "folder.csv")
