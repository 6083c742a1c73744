"""The scores of answers are those of SQuAD's scripts, whose rules are written down here once more and independently."""

import re
import string

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainable.metrics.question_answering import NEVER, best_threshold, row_scores

ANSWERS = st.lists(
    st.sampled_from(
        ["the", "a", "An", "Rome", "rome", "Oslo.", "new-york", "York", "!", "1,000", "  ", "\u00e9t\u00e9", "..."]
    ),
    max_size=6,
).map(" ".join)


def words_by_the_script(text: str) -> list[str]:
    lowered = "".join(character for character in text.lower() if character not in set(string.punctuation))
    return re.sub(r"\b(a|an|the)\b", " ", lowered).split()


def f1_by_the_script(predicted: str, true: str) -> float:
    found, expected = words_by_the_script(predicted), words_by_the_script(true)
    if len(found) == 0 or len(expected) == 0:
        return float(found == expected)
    left, same = list(expected), 0
    for word in found:
        if word in left:
            left.remove(word)
            same += 1
    if same == 0:
        return 0.0
    precision, recall = same / len(found), same / len(expected)
    return 2 * precision * recall / (precision + recall)


def scores_by_the_script(predicted: str, golds: list[str]) -> tuple[float, float]:
    golds = [gold for gold in golds if words_by_the_script(gold)] or [""]
    exact = max(float(words_by_the_script(predicted) == words_by_the_script(gold)) for gold in golds)
    return exact, max(f1_by_the_script(predicted, gold) for gold in golds)


@given(ANSWERS, st.lists(ANSWERS, max_size=3))
def test_the_scores_are_those_of_the_script(predicted: str, golds: list[str]) -> None:
    found = [row_scores([predicted], [golds], metric)[0] for metric in ("exact_match", "answer_f1")]
    assert found == pytest.approx(scores_by_the_script(predicted, golds))


@pytest.mark.parametrize(
    ("predicted", "golds", "exact", "f1"),
    [
        ("the Denver Broncos", ["Denver Broncos"], 1, 1),
        ("Broncos", ["Denver Broncos", "Panthers"], 0, 2 / 3),
        ("", [], 1, 1),
        ("Denver", [], 0, 0),
        ("", ["Denver"], 0, 0),
        ("U.S.", ["US"], 1, 1),
        ("a", ["the"], 1, 1),  # nothing is left of either, so the row has no true answer
        ("to to be", ["to be to be"], 0, 6 / 7),
    ],
)
def test_known_answers(predicted: str, golds: list[str], exact: float, f1: float) -> None:
    assert row_scores([predicted], [golds], "exact_match").tolist() == [exact]
    assert row_scores([predicted], [golds], "answer_f1").tolist() == pytest.approx([f1])


@given(st.lists(st.tuples(st.integers(-3, 3), st.sampled_from([0.0, 0.5, 1.0]), st.booleans()), min_size=1, max_size=8))
def test_no_threshold_is_better_than_the_best(rows: list[tuple[int, float, bool]]) -> None:
    surplus, answered, none = (np.array(column, dtype=float) for column in zip(*rows, strict=True))

    def score(threshold: float) -> float:
        return float(np.where(surplus <= threshold, answered, none).mean())

    chosen = best_threshold(surplus, answered, none)
    assert score(chosen) == pytest.approx(max(score(each) for each in [*np.arange(-4, 4, 0.5), NEVER]))


def test_if_every_question_has_an_answer_one_is_always_given() -> None:
    assert best_threshold(np.array([0.0, 5.0]), np.ones(2), np.zeros(2)) == NEVER
