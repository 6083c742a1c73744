"""Rows with an empty text are refused, left out or kept, and always counted."""

import json
import math
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from trainable.data.examples import Examples
from trainable.data.read_splits import Splits
from trainable.errors import ConfigError
from trainable.inputs.tokens import tokenize
from trainable.progress import Report
from trainable.settings.config import TrialConfig
from trainable.settings.dataset import Dataset
from trainable.tasks.registry import read_dataset, read_splits
from trainable.trial import run_trial
from trainable.workspace import Workspace

PAIRS = [{"text_a": f"one {i}", "text_b": None if i % 5 == 3 else f"two {i}", "label": i % 2} for i in range(40)]


def _lines(path: Path, records: list[dict[str, Any]]) -> str:
    path.write_text("\n".join(map(json.dumps, records)))
    return str(path)


def _sizes(splits: Splits) -> list[int]:
    return [len(table) for table in splits.by_name().values()]


def _saved(kind: str, folder: Path) -> Dataset:
    if kind == "json":
        return Dataset(json=_lines(folder / "t.jsonl", PAIRS))
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(PAIRS), folder / "t.parquet")
        return Dataset(parquet=str(folder / "t.parquet"))
    if kind == "folder":
        datasets.Dataset.from_list(PAIRS).save_to_disk(folder / "t")
        return Dataset(folder=str(folder / "t"))
    rows = [f"{row['text_a']},{row['text_b'] or ' '},{row['label']}" for row in PAIRS]
    (folder / "t.csv").write_text("\n".join(["text_a,text_b,label", *rows]))
    return Dataset(csv=str(folder / "t.csv"))


@pytest.mark.parametrize("kind", ["csv", "json", "parquet", "folder"])
def test_pairs_without_a_second_text(tmp_path: Path, kind: str) -> None:
    dataset = _saved(kind, tmp_path)
    first = "line 5" if kind == "csv" else "line 4" if kind == "json" else "row 4"
    what = f"8 rows with no text in column 'text_b', the first on {first}; "
    with pytest.raises(ConfigError) as caught:
        read_splits(dataset)
    (problem,) = caught.value.problems
    assert what + "fill or remove such rows, or set `empty: keep`" in problem
    kept = read_splits(dataset.model_copy(update={"empty": "keep"}))
    assert sum(_sizes(kept)) == 40
    assert f"{what}kept (`empty: keep`)" in kept.notes[0]
    assert sum(not (text or "").strip() for table in kept.by_name().values() for text in table.text_b or []) == 8
    dropped = read_splits(dataset.model_copy(update={"empty": "drop"}))
    assert sum(_sizes(dropped)) == 32
    assert f"{what}left out (`empty: drop`)" in dropped.notes[0]


def test_empty_texts_are_counted_for_each_given_split(tmp_path: Path) -> None:
    train = _lines(tmp_path / "t.jsonl", [{"text": f"t {i}" if i else "", "label": i % 2} for i in range(20)])
    other = _lines(tmp_path / "v.jsonl", [{"text": f"v {i}" if i > 1 else None, "label": i % 2} for i in range(10)])
    for empty, sizes in (("keep", [20, 10]), ("drop", [19, 8])):
        splits = read_splits(Dataset(train=train, validation=other, empty=empty))
        assert _sizes(splits) == sizes
        notes = [note for note in splits.notes if "no text" in note]
        assert ["t.jsonl: 1 row with" in notes[0], "v.jsonl: 2 rows with" in notes[1], len(notes)] == [True, True, 2]
        assert not [note for note in splits.notes if "is also in train" in note]


def test_messages_name_lines_of_the_file_after_rows_are_left_out(tmp_path: Path) -> None:
    rows = ["text,label", ",a", ",b", *(f"text {i},{'ab'[i % 2]}" for i in range(20)), "x,"]
    (tmp_path / "t.csv").write_text("\n".join(rows))
    _, (problem,) = read_dataset(Dataset(csv=str(tmp_path / "t.csv"), empty="drop"))
    assert "1 row with no label in column 'label', the first on line 24" in problem


def test_dropped_rows_give_no_classes_and_an_empty_split_is_one_problem(tmp_path: Path) -> None:
    records = [{"text": f"t {i}" if i < 20 else "", "label": "ab"[i % 2] if i < 20 else "c"} for i in range(24)]
    assert read_splits(Dataset(json=_lines(tmp_path / "t.jsonl", records), empty="drop")).label_names == ("a", "b")
    nothing = [record | {"text": " "} for record in records]
    _, (problem,) = read_dataset(Dataset(json=_lines(tmp_path / "t.jsonl", nothing), empty="drop"))
    assert problem.endswith("the train split is empty; add rows, or change the fractions")


def test_a_trial_trains_on_texts_that_are_empty(base: dict[str, Any], tmp_path: Path, workspace: Workspace) -> None:
    records = [{"text": "" if i % 4 > 1 else f"fine film {i}", "label": i % 2} for i in range(40)]
    path = _lines(tmp_path / "t.jsonl", records)
    base["target"] |= {"dataset": {"json": path, "empty": "keep", "max_overlap": 1}, "epochs": 1}
    base["source"] = None
    heard: list[Report] = []
    run_trial(TrialConfig(**base), lambda report: heard.append(report) is None, workspace=workspace)
    assert heard[-1].metrics
    assert all(map(math.isfinite, heard[-1].metrics.values()))


def test_a_row_without_any_token_is_refused(tmp_path: Path) -> None:
    bare = Tokenizer(models.BPE(vocab={"<pad>": 0, "a": 1}, merges=[]))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bare, pad_token="<pad>")
    with pytest.raises(ConfigError, match="makes no token of 2 rows"):
        tokenize(tokenizer, Examples(["a", "", "aa", "b"], None, np.zeros(4, dtype=np.int64)))
