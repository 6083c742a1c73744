"""The scores of predicted numbers against scipy and scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from trainable.metrics.regression import scores

NUMBERS = st.lists(st.tuples(st.integers(-50, 50), st.integers(-50, 50)), min_size=3, max_size=40)


@settings(max_examples=60, deadline=None)
@given(rows=NUMBERS)
def test_scores_are_those_of_scipy_and_scikit_learn(rows: list[tuple[int, int]]) -> None:
    predicted, true = np.array(rows, dtype=np.float64).T
    found = scores(predicted, true)
    assert found["rmse"] == pytest.approx(root_mean_squared_error(true, predicted))
    assert found["mae"] == pytest.approx(mean_absolute_error(true, predicted))
    if len(np.unique(true)) > 1:
        assert found["r2"] == pytest.approx(r2_score(true, predicted))
        if len(np.unique(predicted)) > 1:
            assert found["pearson"] == pytest.approx(pearsonr(predicted, true).statistic, abs=1e-9)
            assert found["spearman"] == pytest.approx(spearmanr(predicted, true).statistic, abs=1e-9)


def test_equal_predictions_order_nothing() -> None:
    found = scores(np.full(4, 2.0), np.arange(4.0))
    assert (found["pearson"], found["spearman"]) == (0, 0)


def test_scores_of_many_resamplings_are_computed_at_once() -> None:
    generator = np.random.default_rng(0)
    predicted, true = generator.normal(size=(2, 5, 30))
    together = scores(predicted, true)
    for row in range(5):
        alone = scores(predicted[row], true[row])
        assert all(together[name][row] == pytest.approx(alone[name]) for name in alone)
