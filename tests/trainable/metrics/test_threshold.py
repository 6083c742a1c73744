"""The threshold is the best one of all that these rows allow, and 0.5 where no other is better."""

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, fbeta_score

from trainable.metrics.threshold import best_cut


@pytest.mark.parametrize("metric", ["f2", "balanced_accuracy"])
def test_no_other_cut_is_better(metric: str) -> None:
    generator = np.random.default_rng(0)
    labels = (generator.random(200) < 0.1).astype(np.int64)
    margins = np.round(2.0 * labels - 3.0 + generator.normal(size=200), 1)  # with ties
    chosen = best_cut(margins, labels, metric)

    def value(cut: float) -> float:
        predicted = margins > cut
        if metric == "f2":
            return float(fbeta_score(labels, predicted, beta=2, zero_division=0.0))
        return float(balanced_accuracy_score(labels, predicted))

    assert value(chosen) == pytest.approx(max(map(value, np.linspace(-6, 4, 1001))))
    assert value(chosen) > value(0.0) and chosen < 0


def test_half_stays_where_no_other_cut_is_better() -> None:
    labels = np.array([0, 0, 1, 1])
    assert best_cut(np.array([-2.0, -1.0, 1.0, 5.0]), labels, "macro_f1") == 0
    assert best_cut(np.full(4, 0.3), labels, "f1") == 0  # equal outputs cannot be told apart
    assert best_cut(np.array([1.0, 2.0, 3.0, 4.0]), labels, "accuracy") == 2.5
