"""Unknown tokens and merged texts are measured, and reported from 5 % on."""

from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from trainable.inputs.prepare import prepare
from trainable.inputs.tokenizer_check import TokenizerCheck, check_tokenizer
from trainable.inputs.tokens import tokenize
from trainable.model.pretrained import load_tokenizer
from trainable.settings.dataset import Dataset
from trainable.tasks.registry import read_splits

AMHARIC = ("ጥሩ", "መጥፎ", "ፊልም", "ዛሬ")


def _table(path: Path, texts: list[str], texts_b: list[str] | None = None) -> str:
    head = "text,label" if texts_b is None else "text_a,text_b,label"
    rows = [
        f"{text},{texts_b[i]},{'ab'[i % 2]}" if texts_b else f"{text},{'ab'[i % 2]}" for i, text in enumerate(texts)
    ]
    path.write_text("\n".join([head, *rows]), encoding="utf-8")
    return str(path)


def _seen(tokenizer: PreTrainedTokenizerBase, csv: str) -> TokenizerCheck:
    tables = read_splits(Dataset(csv=csv, max_overlap=1)).by_name()
    return check_tokenizer(tokenizer, tables, {split: tokenize(tokenizer, table) for split, table in tables.items()})


def _words(i: int) -> str:
    return f"{AMHARIC[i % 4]} {AMHARIC[i // 4 % 4]} {AMHARIC[i // 16 % 4]}"


def test_a_language_that_the_tokenizer_does_not_know_is_a_warning_with_its_words(
    tmp_path: Path, tiny_bert: str
) -> None:
    csv = _table(tmp_path / "t.csv", [f"{_words(i)} {AMHARIC[0]}" for i in range(60)])
    seen = _seen(load_tokenizer(tiny_bert), csv)
    assert (seen.unknown, seen.merged) == (1, 1)
    assert seen.words[0] == AMHARIC[0] and set(seen.words) == set(AMHARIC)
    tokenized = prepare(Dataset(csv=csv), tiny_bert, [tmp_path], tmp_path / "cache")
    (warning,) = tokenized.warnings
    assert warning.startswith(f"tokenizer: 100.0% of the tokens are unknown to it (most often '{AMHARIC[0]}', ")
    assert "100.0% of the rows become the same tokens as a row with another text" in warning


def test_both_texts_of_a_pair_count(tmp_path: Path, tiny_bert: str) -> None:
    csv = _table(tmp_path / "t.csv", [f"film {i}" for i in range(60)], [_words(i) for i in range(60)])
    seen = _seen(load_tokenizer(tiny_bert), csv)
    assert 0.4 < seen.unknown < 1
    assert seen.merged == 0
    assert set(seen.words) == set(AMHARIC)


def test_texts_that_only_the_tokenizer_makes_equal_are_a_warning_without_unknown_tokens(
    tmp_path: Path, tiny_bert: str
) -> None:
    csv = _table(tmp_path / "t.csv", [f"{'Film' if i % 2 else 'film'} {i // 2 % 20}" for i in range(40)])
    seen = _seen(load_tokenizer(tiny_bert), csv)
    assert (seen.unknown, seen.merged, seen.words) == (0, 1, ())
    warning = seen.warning() or ""
    assert warning.startswith(
        "tokenizer: 100.0% of the rows become the same tokens as a row with another text: the tokenizer drops"
    )
    assert "language" not in warning


@pytest.mark.parametrize("strange", [0, 1, 3])
def test_a_few_unknown_words_and_repeated_texts_are_no_warning(tmp_path: Path, tiny_bert: str, strange: int) -> None:
    texts = [f"a film with a plot {i % 40}" for i in range(80)] + [
        f"a film that is {word}" for word in AMHARIC[:strange]
    ]
    csv = _table(tmp_path / "t.csv", texts)
    seen = _seen(load_tokenizer(tiny_bert), csv)
    assert seen.warning() is None
    assert (seen.unknown > 0) == (strange > 0)
    assert prepare(Dataset(csv=csv, max_overlap=1), tiny_bert, [tmp_path]).warnings == ()


def test_a_tokenizer_of_bytes_knows_every_word(tmp_path: Path) -> None:
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    byte_level = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(["<pad>", *sorted(alphabet)])}, merges=[]))
    byte_level.pre_tokenizer = pre_tokenizers.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=byte_level, pad_token="<pad>")
    csv = _table(tmp_path / "t.csv", [_words(i) for i in range(60)])
    assert _seen(tokenizer, csv) == TokenizerCheck(0, 0, ())


def test_characters_that_a_tokenizer_drops_merge_texts(tmp_path: Path) -> None:
    no_unknown = Tokenizer(models.BPE(vocab={"<pad>": 0, "a": 1, "b": 2}, merges=[]))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=no_unknown, pad_token="<pad>")
    seen = _seen(tokenizer, _table(tmp_path / "t.csv", [f"ab{_words(i)}" for i in range(60)]))
    assert (seen.unknown, seen.merged) == (0, 1)
