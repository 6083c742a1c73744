"""Pairs of sentences from documents: half of them follow each other, and the others are of two documents."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainable.data.examples import Examples
from trainable.data.sentence_pairs import pair_problems, sentence_pairs


def sentences(documents: list[int]) -> Examples:
    """Sentences such as `3:1`, the second one of document 3, from the document of each row."""
    seen: Counter[int] = Counter()
    texts = []
    for document in documents:
        texts.append(f"{document}:{seen[document]}")
        seen[document] += 1
    return Examples(texts, None, np.zeros(len(texts), dtype=np.int64), groups=np.array(documents, dtype=np.int64))


@given(st.lists(st.integers(0, 4), min_size=3, max_size=30), st.integers(0, 9))
def test_each_sentence_but_the_last_begins_a_pair(documents: list[int], seed: int) -> None:
    rows = {"train": sentences(documents)}
    if list(pair_problems(rows, "doc", "films")):
        assert len(set(documents)) < 2 or len(set(documents)) == len(documents)
        return
    pairs = sentence_pairs(rows, seed)["train"]
    assert pairs.text_b is not None
    sizes = Counter(documents)
    assert sorted(pairs.text) == sorted(f"{d}:{i}" for d, size in sizes.items() for i in range(size - 1))
    for one, two, is_next in zip(pairs.text, pairs.text_b, pairs.labels, strict=True):
        (document, place), (other, its) = (map(int, text.split(":")) for text in (one, two))
        assert (other == document) == bool(is_next)
        assert not is_next or its == place + 1
    assert sentence_pairs(rows, seed)["train"].text_b == pairs.text_b


def test_half_of_many_pairs_follow_each_other_and_any_sentence_may_be_the_random_one() -> None:
    pairs = sentence_pairs({"train": sentences([row // 20 for row in range(2000)])}, 0)["train"]
    assert pairs.labels.mean() == pytest.approx(0.5, abs=0.04)
    assert pairs.text_b is not None
    random = [text for text, is_next in zip(pairs.text_b, pairs.labels, strict=True) if not is_next]
    assert len(set(random)) > 600
    assert {int(text.split(":")[0]) for text in random} == set(range(100))


def test_too_few_documents_are_a_problem() -> None:
    for documents in ([0, 0, 0], [0, 1, 2]):
        (problem,) = pair_problems({"train": sentences(documents)}, "doc", "films")
        assert problem.startswith("films: next_sentence needs two documents in the train rows")
