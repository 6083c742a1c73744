"""The scores of answers that are spans of a context, by the rules of SQuAD (Rajpurkar et al. 2016, 2018)."""

import re
import string
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

METRICS = ("answer_f1", "exact_match")
SPAN, SCORES, LOSS = 0, 1, 2
"""What the pairs of numbers that a model gives for a row are: first character of the answer and the one after its last;
score of the answer and of no answer; sum of the losses of the windows and their number."""
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalised(text: str) -> str:
    """Return an answer in lower case, without punctuation and articles, with one blank between two words."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(predicted: str, true: str) -> float:
    """Return 1 if two answers are equal after normalisation, else 0."""
    return float(normalised(predicted) == normalised(true))


def answer_f1(predicted: str, true: str) -> float:
    """Return the F1 of the words of two answers, each word as often as it occurs; no words match only no words."""
    found, expected = normalised(predicted).split(), normalised(true).split()
    if not found or not expected:
        return float(found == expected)
    common = sum((Counter(found) & Counter(expected)).values())
    return 2 * common / (len(found) + len(expected))


def row_scores(predicted: Sequence[str], true: Sequence[Sequence[str]], metric: str) -> NDArray[np.float64]:
    """Return the score of each row, shape (N,): the highest over its true answers.

    As in SQuAD's script, a true answer that is nothing after normalisation does not count; a row without any is right
    with an empty answer.

    Args:
        predicted: one answer for each row; empty for no answer.
        true: the true answers of each row.
        metric: one of `METRICS`.
    """
    score = exact_match if metric == "exact_match" else answer_f1
    golds = ([text for text in row if normalised(text)] or [""] for row in true)
    pairs = zip(predicted, golds, strict=True)
    return np.array([max(score(answer, text) for text in of_row) for answer, of_row in pairs], dtype=np.float64)


def best_threshold(
    surplus: NDArray[np.float64], if_answered: NDArray[np.float64], if_not: NDArray[np.float64]
) -> float:
    """Return the surplus of the score of no answer up to which an answer is given, so that the mean score is highest.

    Args:
        surplus: score of no answer minus that of the best answer, shape (N,).
        if_answered: what each row scores with its answer, shape (N,).
        if_not: what each row scores without an answer, shape (N,).

    Returns:
        The middle between two rows' values; far above or below all of them if every or no row is answered.
    """
    order = np.argsort(surplus, kind="stable")
    gains = np.concatenate([[0.0], np.cumsum((if_answered - if_not)[order])])
    values = np.concatenate([[-NEVER], surplus[order], [NEVER]])
    possible = values[:-1] < values[1:]  # rows with equal values are answered together
    best = int(np.argmax(np.where(possible, gains, -np.inf)))
    return float((values[best] + values[best + 1]) / 2) if 0 < best < len(order) else float(values[-1 if best else 0])


NEVER = 1e3
"""A threshold beyond the scores of any model."""
