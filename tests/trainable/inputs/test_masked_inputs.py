"""Hidden tokens: their share, whole words, and the same ones for the same seed, row and position."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as how
from hypothesis import strategies as st

from trainable.inputs.masked_inputs import MaskedInputs, MaskRules, continuations, mask_rules
from trainable.inputs.ragged import Ragged
from trainable.inputs.token_inputs import TokenInputs
from trainable.inputs.tokens import Piece, Template, Tokens

RULES = MaskRules(
    mask_id=3,
    ordinary=np.arange(5, 300),
    hideable=np.arange(300) >= 4,
    continues=np.arange(300) >= 200,
)


def inputs_of(texts: list[list[int]], padding_length: int = 64, pads_left: bool = False) -> MaskedInputs:
    ids = np.array([token for text in texts for token in text], dtype=np.int32)
    offsets = np.cumsum([0, *map(len, texts)])
    template = Template((Piece(1, 0, 0), Piece(None, 0, 0), Piece(2, 0, 0)), 0, 0, False, pads_left, False)
    tokens = Tokens((Ragged(ids, offsets),), template)
    return MaskedInputs(TokenInputs(tokens, np.arange(len(texts)), padding_length, False), RULES)


seeds = st.integers(0, 2**32 - 1)
draws = st.one_of(st.none(), st.integers(0, 2**62))


def some_texts(seed: int) -> list[list[int]]:
    """Texts of 1 to 30 words, each of up to 4 tokens."""
    generator = np.random.default_rng(seed)
    texts = []
    for _ in range(generator.integers(1, 6)):
        words = generator.integers(10, 200, generator.integers(1, 31)).tolist()
        texts.append([t for word in words for t in (word, *generator.integers(200, 300, generator.integers(4)))])
    return texts


@given(seeds, draws, st.booleans())
@how(max_examples=30)
def test_words_are_hidden_whole(seed: int, draw: int | None, left: bool) -> None:
    texts = some_texts(seed)
    inputs, rows = inputs_of(texts, 200, left), np.arange(len(texts))
    ids, batch = inputs.whole.batch(rows)["input_ids"].numpy(), inputs.batch(rows, draw=draw)
    hidden = np.zeros(ids.shape, dtype=bool)
    hidden.flat[batch["hidden_places"].numpy()] = True
    assert (batch["hidden_ids"].numpy() == ids[hidden]).all()
    assert (batch["input_ids"].numpy()[~hidden] == ids[~hidden]).all()
    assert not hidden[ids < 4].any()
    assert (hidden[:, 1:] == hidden[:, :-1])[ids[:, 1:] >= 200].all()
    for text, number in zip(texts, (hidden & (ids < 200)).sum(1), strict=True):
        exact = 0.15 * sum(token < 200 for token in text)
        assert number in {max(1, int(exact)), max(1, int(exact) + 1)}
    assert inputs.weights(rows, draw).tolist() == hidden.sum(1).tolist()


@given(seeds, draws, st.booleans())
@how(max_examples=20)
def test_a_row_has_the_same_hidden_tokens_in_any_batch(seed: int, draw: int | None, left: bool) -> None:
    texts = some_texts(seed)
    inputs, rows = inputs_of(texts, 200, left), np.arange(len(texts))
    whole, again = inputs.batch(rows, draw=draw), inputs.batch(rows, 8, draw)
    width = whole["input_ids"].shape[1]
    for row, text in enumerate(texts):
        alone = inputs.batch(np.array([row]), draw=draw)["input_ids"][0].tolist()
        size = len(text) + 2
        assert alone == whole["input_ids"][row][width - size if left else 0 :][:size].tolist()
    assert again["hidden_ids"].tolist() == whole["hidden_ids"].tolist()


def test_shares() -> None:
    generator = np.random.default_rng(0)
    inputs, rows = inputs_of(generator.integers(10, 200, (400, 40)).tolist()), np.arange(400)
    batch = inputs.batch(rows, draw=7)
    became = batch["input_ids"].flatten()[batch["hidden_places"]].numpy()
    was = batch["hidden_ids"].numpy()
    assert len(was) / (400 * 40) == pytest.approx(0.15, abs=0.003)
    assert (became == RULES.mask_id).mean() == pytest.approx(0.8, abs=0.02)
    assert (became == was).mean() == pytest.approx(0.1, abs=0.02)
    assert len(np.unique(became)) > 100
    assert inputs.batch(rows, draw=8)["hidden_places"].tolist() != batch["hidden_places"].tolist()
    assert inputs.batch(rows)["hidden_places"].tolist() == inputs.batch(rows)["hidden_places"].tolist()


def test_a_row_without_tokens_counts_as_one() -> None:
    inputs = inputs_of([[], [11, 12]])
    assert inputs.weights(np.array([0, 1]), 0).tolist() == [1.0, 1.0]
    assert len(inputs.batch(np.array([0]))["hidden_places"]) == 0


def test_continuations() -> None:
    assert continuations(["[CLS]", "run", "##ning", ","]).tolist() == [False, False, True, False]
    assert continuations(["\u0120run", "ning", ",", "\u2581go"]).tolist() == [False, True, False, False]
    assert not continuations(["a", "b"]).any()


def test_the_rules_of_a_tokenizer(tiny_bert: str) -> None:
    rules = mask_rules(tiny_bert)
    assert rules.mask_id == 4
    assert rules.hideable[:6].tolist() == [False, True, False, False, False, True]
    assert 1 not in rules.ordinary
    assert rules.continues.sum() == 51
