"""The scores of probabilities are scikit-learn's."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from trainable.metrics.probabilities import SCORES, calibration_error


@st.composite
def answers(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities with ties, and labels in which each of 2 or 3 classes has a row."""
    classes = draw(st.integers(2, 3))
    labels = [*range(classes), *draw(st.lists(st.integers(0, classes - 1), max_size=20))]
    cells = st.lists(st.integers(1, 4), min_size=classes, max_size=classes)
    raw = np.array([draw(cells) for _ in labels], dtype=np.float64)
    return raw / raw.sum(1, keepdims=True), np.array(labels)


@settings(max_examples=60, deadline=None)
@given(answers())
def test_scores_are_those_of_scikit_learn(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    chances, labels = drawn
    found = {name: score(chances, labels) for name, score in SCORES.items()}
    classes = chances.shape[1]
    if classes == 2:
        assert found["auroc"] == pytest.approx(sk.roc_auc_score(labels, chances[:, 1]))
        assert found["average_precision"] == pytest.approx(sk.average_precision_score(labels, chances[:, 1]))
        assert found["brier"] == pytest.approx(sk.brier_score_loss(labels, chances[:, 1]))
    else:
        assert found["auroc"] == pytest.approx(sk.roc_auc_score(labels, chances, multi_class="ovr"))
        one_hot = np.eye(classes)[labels]
        assert found["average_precision"] == pytest.approx(sk.average_precision_score(one_hot, chances))


def test_calibration_is_the_gap_between_confidence_and_accuracy() -> None:
    chances = np.array([[0.1, 0.9]] * 10 + [[0.3, 0.7]] * 10)
    labels = np.array([1] * 9 + [0] + [1] * 3 + [0] * 7)
    assert calibration_error(chances, labels) == pytest.approx((0.0 * 10 + 0.4 * 10) / 20)


def test_a_class_without_rows_does_not_count() -> None:
    chances = np.array([[0.5, 0.3, 0.2], [0.2, 0.6, 0.2]])
    assert SCORES["auroc"](chances, np.array([0, 1])) == 1.0
