"""Entities are those of seqeval 1.2.2 in its default mode; the cases below are its answers."""

import numpy as np
import pytest

from trainable.metrics.tagging import METRICS, counts_of, per_type, score

BIO = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
BILOU = ("O", "B-PER", "I-PER", "L-PER", "U-PER", "U-LOC")


def _numbers(rows: list[str], names: tuple[str, ...]) -> np.ndarray:
    width = max(len(row.split()) for row in rows)
    cells = [[names.index(tag) for tag in row.split()] for row in rows]
    return np.array([row + [-100] * (width - len(row)) for row in cells])


def _scores(true: list[str], predicted: list[str], names: tuple[str, ...]) -> dict[str, float]:
    counts = counts_of(_numbers(predicted, names), _numbers(true, names), names)
    return {metric: float(score(metric, counts, np.ones((1, len(true))))[0]) for metric in METRICS}


@pytest.mark.parametrize(
    ("names", "true", "predicted", "hits"),
    [
        (BIO, "B-PER I-PER O B-LOC", "B-PER I-PER O B-LOC", 2),
        (BIO, "B-PER I-PER O B-LOC", "B-PER O O B-LOC", 1),  # the end differs
        (BIO, "B-PER I-PER O B-LOC", "B-PER I-PER O B-PER", 1),  # the type differs
        (BIO, "B-PER I-PER", "I-PER I-PER", 1),  # an inside tag may begin an entity
        (BIO, "B-PER B-PER", "B-PER I-PER", 0),  # two entities, or one
        (BIO, "B-PER I-LOC", "B-PER B-LOC", 2),  # another type begins another entity
        (BILOU, "B-PER I-PER L-PER U-LOC U-PER", "B-PER I-PER L-PER U-LOC U-PER", 3),
        (BILOU, "B-PER L-PER U-PER", "B-PER I-PER U-PER", 2),
        (("VERB", "NOUN"), "NOUN VERB NOUN", "NOUN VERB VERB", 2),  # without prefixes, each word is one
        (("O", "X", "Y"), "X X O Y", "X O O Y", 2),
    ],
)
def test_entities(names: tuple[str, ...], true: str, predicted: str, hits: int) -> None:
    found = _scores([true], [predicted], names)
    types = per_type(_numbers([predicted], names), _numbers([true], names), names)
    assert sum(round(each.recall * each.rows) for each in types) == hits
    right, claimed = sum(each.rows for each in types), sum(each.predicted or 0 for each in types)
    assert found["entity_precision"] == pytest.approx(hits / claimed)
    assert found["entity_recall"] == pytest.approx(hits / right)
    assert found["entity_f1"] == pytest.approx(2 * hits / (claimed + right))


def test_an_entity_ends_with_its_row_and_draws_repeat_rows() -> None:
    true, predicted = ["O B-PER", "I-PER O O", "B-LOC"], ["O B-PER", "I-PER O O", "O"]
    assert _scores(true, predicted, BIO)["entity_recall"] == pytest.approx(2 / 3)
    assert _scores(true, predicted, BIO)["accuracy"] == pytest.approx(5 / 6)
    counts = counts_of(_numbers(predicted, BIO), _numbers(true, BIO), BIO)
    drawn = score("entity_recall", counts, np.array([[2.0, 1, 0], [0, 0, 3], [1, 0, 1]]))
    assert drawn.tolist() == pytest.approx([1.0, 0.0, 0.5])
