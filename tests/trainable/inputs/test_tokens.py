"""Batches equal the tokenizer's own; a tokenizer for which they cannot is refused."""

import copy

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from trainable.data.examples import Examples
from trainable.errors import ConfigError
from trainable.inputs.tokens import tokenize

WORDS = st.sampled_from(["good", "film", "unbelievable", "[SEP]", "ça", "电影", "!!", "\u200b", "😀", "x" * 40])
TEXTS = st.one_of(st.text(max_size=60), st.lists(WORDS, max_size=50).map(" ".join))
QUIET = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def tokenizer(minilm: str) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(minilm)


def _table(text: list[str], text_b: list[str] | None = None) -> Examples:
    return Examples(text, text_b, np.zeros(len(text), dtype=np.int64))


def _agree(tokenizer: PreTrainedTokenizerBase, table: Examples, length: int, fixed: bool) -> None:
    tokens = tokenize(tokenizer, table)
    rows = np.arange(len(table))[::-1].copy()
    columns = [[c[i] for i in rows] for c in (table.text, table.text_b) if c is not None]
    padding = "max_length" if fixed else "longest"
    theirs = tokenizer(*columns, truncation=True, max_length=length, padding=padding)
    ours = tokens.batch(rows, length, length if fixed else None)
    assert set(ours) == set(theirs)
    for name, tensor in ours.items():
        assert tensor.tolist() == theirs[name], name
    assert tokens.lengths(length)[rows].tolist() == ours["attention_mask"].sum(dim=1).tolist()


@QUIET
@given(texts=st.lists(TEXTS, min_size=1, max_size=6), length=st.integers(4, 64), fixed=st.booleans())
def test_single_texts_equal_the_tokenizer(
    tokenizer: PreTrainedTokenizerBase, texts: list[str], length: int, fixed: bool
) -> None:
    _agree(tokenizer, _table(texts), length, fixed)


@QUIET
@given(pairs=st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=6), length=st.integers(4, 64), fixed=st.booleans())
def test_pairs_equal_the_tokenizer(
    tokenizer: PreTrainedTokenizerBase, pairs: list[tuple[str, str]], length: int, fixed: bool
) -> None:
    _agree(tokenizer, _table([a for a, _ in pairs], [b for _, b in pairs]), length, fixed)


@pytest.mark.parametrize("padding_side", ["left", "right"])
@pytest.mark.parametrize("truncation_side", ["left", "right"])
def test_padding_and_truncation_use_the_tokenizers_sides(
    tiny_bert: str, padding_side: str, truncation_side: str
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert, padding_side=padding_side, truncation_side=truncation_side)
    texts = ["a film that is", "one", "the most of all of the films that there are"]
    for length in (4, 7, 12, 64):
        _agree(tokenizer, _table(texts), length, fixed=False)
        _agree(tokenizer, _table(texts, texts[::-1]), length, fixed=True)


def test_no_token_types_where_the_tokenizer_gives_none(tiny_bert: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert, model_input_names=["input_ids", "attention_mask"])
    batch = tokenize(tokenizer, _table(["a film"])).batch(np.array([0]), 8)
    assert list(batch) == ["input_ids", "attention_mask"]


def test_too_short_for_the_special_tokens(tiny_bert: str) -> None:
    tokens = tokenize(AutoTokenizer.from_pretrained(tiny_bert), _table(["a"], ["b"]))
    with pytest.raises(ConfigError, match="padding_length: 2 is less than the 3 special tokens"):
        tokens.lengths(2)


def test_tokenizer_without_padding_is_refused(tiny_bert: str) -> None:
    tokenizer = copy.deepcopy(AutoTokenizer.from_pretrained(tiny_bert))
    tokenizer.pad_token = None
    with pytest.raises(ConfigError, match="no padding token"):
        tokenize(tokenizer, _table(["a film"]))


def test_a_tokenizer_that_changes_texts_is_refused(tiny_bert: str) -> None:
    """A tokenizer that does more than add special tokens must not silently train on wrong ids."""

    class Reversed(type(AutoTokenizer.from_pretrained(tiny_bert))):
        def __call__(self, *args, **kwargs):
            encoded = super().__call__(*args, **kwargs)
            if kwargs.get("truncation"):
                encoded["input_ids"] = [ids[::-1] for ids in encoded["input_ids"]]
            return encoded

    with pytest.raises(ConfigError, match="not supported"):
        tokenize(Reversed.from_pretrained(tiny_bert), _table(["a film"]))


def test_an_empty_table_has_no_tokens(tiny_bert: str) -> None:
    assert len(tokenize(AutoTokenizer.from_pretrained(tiny_bert), _table([]))) == 0


@QUIET
@given(
    rows=st.lists(st.integers(0, 5), min_size=1, max_size=6), others=st.lists(st.integers(0, 5), min_size=1, max_size=6)
)
def test_a_digest_depends_on_the_rows_after_truncation(
    tokenizer: PreTrainedTokenizerBase, rows: list[int], others: list[int]
) -> None:
    texts = ["good", "good film", "good film again", "a bad film", "", "good"]
    for table in (_table(texts), _table(texts, texts[::-1])):
        tokens = tokenize(tokenizer, table)
        for length, other_length in ((3, 3), (4, 4), (5, 32)):
            one, other = np.array(rows), np.array(others)
            kept = [
                [ids[mask == 1].tolist() for ids, mask in zip(b["input_ids"], b["attention_mask"], strict=True)]
                for b in (tokens.batch(one, length), tokens.batch(other, other_length))
            ]
            same = tokens.digest(one, length) == tokens.digest(other, other_length)
            assert same == (kept[0] == kept[1])
