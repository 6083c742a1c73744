"""The scores of multi-label classification are those of scikit-learn, also over resampled rows."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, average_precision_score, f1_score

from trainable.metrics.multi_label import SCORES, best_cut


def test_scores_are_those_of_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    labels = (generator.random((60, 5)) < 0.3).astype(np.float32)
    outputs = (labels + generator.normal(size=labels.shape)).round(1).astype(np.float32) - 0.55  # with ties, none is 0
    draw = generator.integers(60, size=60)
    times = np.stack([np.ones(60), np.bincount(draw, minlength=60)])
    for place, rows in enumerate((np.arange(60), draw)):
        true, given = labels[rows], outputs[rows] > 0
        expected = {
            "micro_f1": f1_score(true, given, average="micro"),
            "mean_label_f1": f1_score(true, given, average="macro"),
            "subset_accuracy": accuracy_score(true, given),
            "map": average_precision_score(true, outputs[rows], average="macro"),
        }
        found = {name: score(outputs, labels, times)[place] for name, score in SCORES.items()}
        assert found == pytest.approx(expected, abs=1e-6)


def test_the_cut_is_the_best_of_all() -> None:
    generator = np.random.default_rng(1)
    labels = (generator.random((40, 3)) < 0.2).astype(np.float32)
    outputs = labels + generator.normal(size=labels.shape) - 1
    cut = best_cut(outputs, labels)
    tried = [f1_score(labels, outputs > value, average="micro") for value in np.linspace(-3, 3, 200)]
    assert f1_score(labels, outputs > cut, average="micro") >= max(tried) - 1e-9
    assert best_cut(outputs, np.zeros_like(labels)) == 0
