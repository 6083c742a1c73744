"""CoNLL files: each sentence is a row, and a line with a missing cell is named."""

from pathlib import Path

import pytest

from trainable.data.reading.conll_files import read_conll
from trainable.errors import ConfigError
from trainable.settings.dataset import Dataset
from trainable.tasks.registry import read_splits

NER = "-DOCSTART- -X- O\n\nEU NNP B-ORG\nrejects VBZ O\n\n# id = 2\n# NN O\nRome NNP B-LOC\n"
ROWS = (["1-2", "don't", "_", "_"], ["1", "do", "do", "AUX"], ["2", "n't", "not", "PART"])
UD = "# sent_id = 1\n" + "\n".join("\t".join([*cells, *["_"] * 6]) for cells in ROWS)


def test_sentences_are_rows() -> None:
    table = read_conll(NER, "x.conll")
    assert table.columns["text"] == [["EU", "rejects"], ["#", "Rome"]]
    assert table.columns["label"] == [["B-ORG", "O"], ["O", "B-LOC"]]
    assert table.columns["column_2"] == [["NNP", "VBZ"], ["NN", "NNP"]]
    assert [table.position(row) for row in range(2)] == ["line 3", "line 7"]


def test_universal_dependencies_leave_out_ranges_of_words() -> None:
    table = read_conll(UD, "x.conllu")
    assert (table.columns["text"], table.columns["label"]) == ([["do", "n't"]], [["AUX", "PART"]])


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("a X\nb\n", "x.conll", "x.conll: line 2: 1 cell where line 1 has 2: 'b'; 1 such line in all"),
        ("a\n", "x.conll", "line 1: 'a' has no tag"),
        ("\n\n", "x.conll", "there is no word"),
        ("1\ta\n", "x.conllu", "line 1: 2 cells where CoNLL-U has 10"),
    ],
)
def test_a_wrong_line_is_named(text: str, name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_conll(text, name)


def test_a_file_is_a_data_set_of_tags(tmp_path: Path) -> None:
    sentences = (f"Ann B-PER\nsees O\n{i} O\n" for i in range(40))
    (tmp_path / "names.conll").write_text("\n".join(sentences), encoding="utf-8")
    splits = read_splits(Dataset.model_validate({"task": "tagging", "conll": "names.conll"}), [tmp_path])
    assert splits.label_names == ("O", "B-PER")
    assert splits.train.text[0].split(" ")[:2] == ["Ann", "sees"]
