"""Damaged model folders and tables: `predict` refuses them, and writes no cell that a spreadsheet would compute."""

import csv
import io
import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file

from search.export.export import export_trial
from search.export.exportable import choose
from search.storage.sweep_folder import SweepFolder

Refused = Callable[..., str]
Damage = Callable[[Path], object]


@pytest.fixture(scope="module")
def exported(swept: SweepFolder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_trial(choose(swept.name, swept.storage, tmp_path_factory.mktemp("exported") / "model")).folder


@pytest.fixture
def model(exported: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(exported, tmp_path / "model"))


@pytest.fixture
def table(tmp_path: Path) -> Path:
    file = tmp_path / "some.csv"
    file.write_text("text\nhello\n")
    return file


def edit(name: str, **values: Any) -> Damage:
    return lambda folder: (folder / name).write_text(json.dumps(json.loads((folder / name).read_text()) | values))


def replace(name: str, content: str | bytes) -> Damage:
    return lambda folder: (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def weights(change: Callable[[dict[str, torch.Tensor]], object]) -> Damage:
    def damage(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        change(tensors)
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})

    return damage


def cut(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def pickled(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


MODELS: dict[str, tuple[Damage, str]] = {
    "no facts": (lambda folder: (folder / "trial.json").unlink(), "no trial.json in it"),
    "empty facts": (replace("trial.json", ""), "trial.json: is damaged"),
    "facts in latin-1": (replace("trial.json", b'{"a": "\xe9"}'), "trial.json: is damaged"),
    "facts nested deeply": (replace("trial.json", "[" * 100_000), "trial.json: is damaged"),
    "facts of other types": (edit("trial.json", text_columns=3, label_names={"a": 1}), "text_columns"),
    "no text column": (edit("trial.json", text_columns=[]), "text_columns"),
    "fewer labels": (edit("trial.json", label_names=["negative"]), "config.json has 2 labels, trial.json 1"),
    "more labels": (edit("trial.json", label_names=["a", "b", "c"]), "config.json has 2 labels, trial.json 3"),
    "settings that are none": (edit("trial.json", settings=[]), "settings"),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "no weights as safetensors"),
    "only a pickle": (pickled, "pytorch_model.bin may carry code and is not read"),
    "a pickle as weights": (replace("model.safetensors", pickle.dumps([1])), "model.safetensors: "),
    "weights cut off": (cut, "model.safetensors: "),
    "a tensor missing": (weights(lambda t: t.pop("classifier.weight")), "such as classifier.weight"),
    "a tensor too many": (weights(lambda t: t.update(more=torch.ones(1))), "such as more"),
    "a tensor of another shape": (weights(lambda t: t.update({"classifier.bias": torch.ones(5)})), "the model"),
    "fewer layers": (edit("config.json", num_hidden_layers=1), "not those of its config.json"),
    "another width": (edit("config.json", hidden_size=16), "the model"),
    "no configuration": (replace("config.json", "{"), "the model cannot be loaded"),
    "code of its own": (edit("config.json", model_type="e", auto_map={"AutoConfig": "evil.C"}), "custom code"),
    "no tokenizer": (replace("tokenizer.json", "{}"), "no tokenizer can be loaded"),
}


@pytest.mark.parametrize(("damage", "words"), MODELS.values(), ids=MODELS)
def test_a_damaged_model(damage: Damage, words: str, model: Path, table: Path, refused: Refused) -> None:
    (model / "evil.py").write_text(f"open({str(model / 'ran')!r}, 'w')")
    damage(model)
    message = refused("predict", model, table, "--output", model.parent / "out.csv")
    assert str(model) in message
    assert words in message
    assert not (model / "ran").exists()
    assert not (model.parent / "out.csv").exists()


@pytest.mark.parametrize("name", ["trial.json", "config.json", "model.safetensors"])
def test_a_path_that_is_not_a_file(
    name: str, not_a_file: Callable[[Path], None], model: Path, table: Path, refused: Refused
) -> None:
    (model / name).unlink()
    not_a_file(model / name)
    assert str(model) in refused("predict", model, table)


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.parquet"])
def test_a_table_that_is_not_a_file(
    name: str, not_a_file: Callable[[Path], None], exported: Path, tmp_path: Path, refused: Refused
) -> None:
    not_a_file(tmp_path / name)
    assert f"{name}: " in refused("predict", exported, tmp_path / name)


@pytest.mark.parametrize("kind", ["loop", "folder", "pipe", "long name"])
def test_an_output_that_cannot_be_a_file(kind: str, exported: Path, table: Path, refused: Refused) -> None:
    output = table.with_name("x" * 5000 + ".csv" if kind == "long name" else "out.csv")
    if kind == "loop":
        output.symlink_to(output)
    elif kind == "folder":
        output.mkdir()
    elif kind == "pipe":
        os.mkfifo(output)
    before = sorted(table.parent.iterdir())
    assert "--output" in refused("predict", exported, table, "--output", output)
    assert sorted(table.parent.iterdir()) == before


FORMULAS = [
    "=1+1",
    "+cmd|'/C calc'!A1",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\uff1d1",
    '=HYPERLINK("http://x")',
    "=\n1",
]
HARMLESS = ["-5", "+3.5e2", "'quoted", " =1", "a=b", "", "-inf", "007"]


def written(call: Callable[..., Any], model: Path, file: Path, output: Path) -> str:
    result = call("predict", model, file, "--output", output)
    assert result.exit_code == 0, result.output
    return output.read_bytes().decode()  # line ends and all


@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_formula_is_written_as_text(
    kind: str, suffix: str, exported: Path, tmp_path: Path, call: Callable[..., Any]
) -> None:
    """This holds for every kind of input file; the text follows an apostrophe."""
    cells, file = FORMULAS + HARMLESS, tmp_path / f"a.{kind}"
    columns = {"text": ["hello"] * len(cells), "=name": cells}
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    if kind == "csv":
        with file.open("w", newline="") as stream:
            csv.writer(stream).writerows([columns, *(row.values() for row in rows)])
    elif kind == "jsonl":
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        pq.write_table(pa.table(columns), file)
    text = written(call, exported, file, tmp_path / f"out{suffix}")
    found = list(csv.DictReader(io.StringIO(text, newline=""), delimiter="\t" if suffix == ".tsv" else ","))
    assert [row["'=name"] for row in found] == [*(f"'{cell}" for cell in FORMULAS), *HARMLESS]


def test_a_label_that_is_a_formula_is_written_as_text(model: Path, table: Path, call: Callable[..., Any]) -> None:
    edit("trial.json", label_names=["=evil()", "@evil"])(model)
    (row,) = csv.DictReader(io.StringIO(written(call, model, table, table.with_name("out.csv"))))
    assert row["predicted"] in {"'=evil()", "'@evil"}


def test_json_lines_keep_every_cell_as_it_is(exported: Path, tmp_path: Path, call: Callable[..., Any]) -> None:
    """JSON lines are for programs, not for spreadsheets."""
    rows = [{"text": "hello", "cell": cell, "n": i, "more": {"a": [None, 1.5]}} for i, cell in enumerate(FORMULAS)]
    rows.append({"text": "hello", "cell": "half a pair \ud800", "n": -1, "more": {"a": []}})
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    lines = written(call, exported, tmp_path / "a.jsonl", tmp_path / "out.jsonl").splitlines()
    found = [json.loads(line) for line in lines]
    assert [{name: row[name] for name in rows[0]} for row in found] == rows
    for row in found:
        assert row["probability"] == row[f"p_{row['predicted']}"]
        assert row["p_negative"] + row["p_positive"] == pytest.approx(1, abs=2e-6)


def test_half_a_surrogate_pair_does_not_damage_a_csv(exported: Path, tmp_path: Path, call: Callable[..., Any]) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "hello", "other": "\\ud800"}')
    assert "\\ud800" in written(call, exported, tmp_path / "a.jsonl", tmp_path / "out.csv")


def test_cells_that_python_cannot_represent(exported: Path, tmp_path: Path, refused: Refused) -> None:
    pq.write_table(pa.table({"text": ["a"], "when": pa.array([2**60], pa.timestamp("us"))}), tmp_path / "a.parquet")
    assert "column 'when' cannot be read" in refused("predict", exported, tmp_path / "a.parquet")


@pytest.mark.slow
def test_the_installed_command_says_the_same(model: Path, table: Path) -> None:
    """The command runs in its own process, with real streams."""
    cut(model)
    command = [sys.executable, "-m", "search", "predict", str(model), str(table)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr
    assert f"{model}: the model: model.safetensors: " in done.stderr
