"""The texts of a pair apart: what the encoder gets is what the tokenizer gives for single texts."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from trainable.data.examples import Examples
from trainable.inputs.token_inputs import TokenInputs
from trainable.inputs.tokens import tokenize
from trainable.inputs.tokens_apart import TokensApart, tokenize_for

WORDS = st.lists(st.sampled_from(["a", "film", "that", "is", "good", "not", "zebra"]), min_size=1, max_size=12)
PAIRS = st.lists(st.tuples(WORDS.map(" ".join), WORDS.map(" ".join)), min_size=1, max_size=6)


@pytest.fixture(scope="module")
def tokenizer(tiny_bert: str) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(tiny_bert)


def _table(text: list[str], text_b: list[str] | None = None) -> Examples:
    return Examples(text, text_b, np.zeros(len(text), dtype=np.int64))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(pairs=PAIRS, length=st.integers(4, 16))
def test_a_batch_is_the_first_texts_then_the_second_texts(
    tokenizer: PreTrainedTokenizerBase, pairs: list[tuple[str, str]], length: int
) -> None:
    columns = [list(column) for column in zip(*pairs, strict=True)]
    tokens = tokenize_for("bi_encoder", tokenizer, _table(*columns))
    assert isinstance(tokens, TokensApart)
    rows = np.arange(len(pairs))
    inputs = TokenInputs(tokens, rows, length, fixed=False)
    theirs = tokenizer([*columns[0], *columns[1]], truncation=True, max_length=length, padding="longest")
    found = inputs.batch(rows)
    for name, array in found.items():
        assert array.tolist() == theirs[name]
    mask = found["attention_mask"].sum(1).numpy()
    assert inputs.lengths.tolist() == (mask[: len(pairs)] + mask[len(pairs) :]).tolist()
    assert tokens.widths(length).max() == found["input_ids"].shape[1]
    assert set(tokens.used_ids(rows, length)) >= set(found["input_ids"].unique().tolist())


def test_rows_of_other_texts_have_another_digest(tokenizer: PreTrainedTokenizerBase) -> None:
    one, same, other = (
        tokenize_for("bi_encoder", tokenizer, _table(["a film"], [second])).digest(np.array([0]), 16)
        for second in ("good", "good", "not good")
    )
    assert one == same != other


def test_single_texts_and_other_poolings_stay_as_they_are(tokenizer: PreTrainedTokenizerBase) -> None:
    single, pair = _table(["a film"]), _table(["a film"], ["good"])
    rows = np.array([0])
    assert tokenize_for("bi_encoder", tokenizer, single).digest(rows, 16) == tokenize(tokenizer, single).digest(
        rows, 16
    )
    assert not isinstance(tokenize_for("mean", tokenizer, pair), TokensApart)
