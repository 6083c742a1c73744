"""Scores of texts from sums over rows are those of the libraries that define them, also for resampled rows."""

import numpy as np
import pytest
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from trainable.metrics.sequence_to_sequence import SCORES, STATISTICS, statistics, totals

TEXTS = ["a man rides a horse in the field", "zwei Hunde", "", "the dog runs quickly over green grass"]
REFERENCES = [
    ("a man rides a horse in the field", "a person on a horse"),
    ("Zwei Hunde spielen.",),
    ("nothing was said",),
    ("a dog is running over the grass", "the dog runs fast over green grass", "grass"),
]
ROWS = np.array([[0, 1, 2, 3], [3, 3, 0, 1]])


def numbers() -> np.ndarray:
    return statistics(np.arange(12.0).reshape(4, 3) + 1, TEXTS, REFERENCES)


@pytest.mark.parametrize("draw", [0, 1])
def test_they_are_those_of_sacrebleu_and_rouge_score(draw: int) -> None:
    of_draws = totals(numbers(), ROWS)
    assert of_draws.shape == (2, len(STATISTICS))
    texts, references = [TEXTS[row] for row in ROWS[draw]], [REFERENCES[row] for row in ROWS[draw]]
    streams = [[row[i] if i < len(row) else None for row in references] for i in range(3)]
    assert SCORES["chrf"](of_draws)[draw] == pytest.approx(CHRF().corpus_score(texts, streams).score)
    assert SCORES["bleu"](of_draws)[draw] == pytest.approx(BLEU().corpus_score(texts, streams).score)
    scorer = RougeScorer(["rougeL"], use_stemmer=True)
    values = [scorer.score_multi(row, text)["rougeL"].fmeasure for text, row in zip(texts, references, strict=True)]
    assert SCORES["rougeL"](of_draws)[draw] == pytest.approx(np.mean(values))


def test_the_loss_is_that_of_a_target_token() -> None:
    assert SCORES["loss"](numbers().sum(0)) == pytest.approx((1 + 4 + 7 + 10) / (3 + 6 + 9 + 12))
