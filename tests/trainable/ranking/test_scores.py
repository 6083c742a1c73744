"""The scores against direct computations, scikit-learn, and the laws that each of them keeps."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.stats import multivariate_normal, ortho_group
from sklearn.linear_model import BayesianRidge
from sklearn.neighbors import KNeighborsClassifier

from trainable.errors import TrialError
from trainable.ranking.scores import h_score, knn_accuracy, log_me, score

Rows = tuple[NDArray[np.float64], NDArray[np.int64]]
seeds = st.integers(0, 10_000)
few = settings(max_examples=8)


def draw(seed: int, rows: int = 40, width: int = 6, classes: int = 3, gap: float = 1.0) -> Rows:
    """Draw rows of each class around a mean of its own; `gap` is the distance of the means."""
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), rng.integers(0, classes, rows - classes)])
    return gap * rng.normal(size=(classes, width))[labels] + rng.normal(size=(rows, width)) + 0.5, labels


@pytest.mark.parametrize(("rows", "width"), [(12, 3), (9, 20)])
def test_log_me_is_the_largest_evidence(rows: int, width: int) -> None:
    features, labels = draw(1, rows, width)

    def cost(precisions: NDArray[np.float64], target: NDArray[np.float64]) -> float:
        weight, noise = np.exp(precisions)
        covariance = features @ features.T / weight + np.eye(rows) / noise
        return -float(multivariate_normal(np.zeros(rows), covariance).logpdf(target))

    each = []
    for label in np.unique(labels):
        target = (labels == label).astype(float)
        starts = [np.array([weight, 1.0]) for weight in (-2.0, 2.0)]
        found = [minimize(cost, start, args=(target,), method="Nelder-Mead").fun for start in starts]
        each.append(-min(found) / rows)
    assert log_me(features, labels) == pytest.approx(np.mean(each), abs=1e-5)


def test_log_me_is_the_evidence_of_bayesian_ridge() -> None:
    features, labels = draw(2, rows=60)
    priors = dict.fromkeys(("alpha_1", "alpha_2", "lambda_1", "lambda_2"), 0.0)
    model = BayesianRidge(fit_intercept=False, compute_score=True, max_iter=3000, tol=1e-10, **priors)
    evidence = [model.fit(features, labels == label).scores_[-1] / 60 for label in np.unique(labels)]
    assert log_me(features, labels) == pytest.approx(np.mean(evidence), abs=1e-5)


@few
@given(seeds, st.floats(0.01, 100))
def test_neither_rotation_nor_scale_changes_a_score(seed: int, scale: float) -> None:
    features, labels = draw(seed)
    turned = scale * features @ ortho_group.rvs(features.shape[1], random_state=seed)
    for each in (log_me, h_score, knn_accuracy):
        assert each(turned, labels) == pytest.approx(each(features, labels), abs=1e-5)


@few
@given(seeds)
def test_neither_order_nor_names_of_classes_change_a_score(seed: int) -> None:
    features, labels = draw(seed)
    order = np.random.default_rng(seed).permutation(len(labels))
    for each in (log_me, h_score, knn_accuracy):
        assert each(features[order], 7 - 2 * labels[order]) == pytest.approx(each(features, labels), abs=1e-6)


@few
@given(seeds)
def test_the_h_score_does_not_see_a_shift_and_keeps_its_bounds(seed: int) -> None:
    features, labels = draw(seed, rows=20, width=30, classes=4)
    assert h_score(features + 3, labels) == pytest.approx(h_score(features, labels), abs=1e-6)
    assert 0 <= h_score(features, labels) <= 3


def test_with_many_rows_the_h_score_is_the_plain_one() -> None:
    features, labels = draw(3, rows=20_000, width=4)
    means = np.array([features[labels == label].mean(0) for label in range(3)])[labels]
    plain = np.trace(np.linalg.pinv(np.cov(features.T)) @ np.cov(means.T))
    assert h_score(features, labels) == pytest.approx(plain, rel=0.01)


@few
@given(seeds)
def test_nearest_neighbours_are_those_of_scikit_learn(seed: int) -> None:
    features, labels = draw(seed, rows=15)
    right = 0
    for row in range(15):
        rest = np.arange(15) != row
        model = KNeighborsClassifier(5, metric="cosine", weights="distance").fit(features[rest], labels[rest])
        right += int(model.predict(features[[row]])[0] == labels[row])
    assert knn_accuracy(features, labels) == right / 15


@pytest.mark.parametrize("width", [20, 60])
def test_better_features_have_better_scores(width: int) -> None:
    worse, same, better = (score(*draw(4, 90, width, gap=gap)) for gap in (0.0, 0.4, 2.0))
    for name in ("log_me", "h_score", "knn"):
        assert getattr(worse, name) < getattr(same, name) < getattr(better, name)


@pytest.mark.parametrize("features", [np.zeros((6, 3)), np.ones((6, 3)), np.eye(6)])
def test_features_without_information_have_finite_scores(features: NDArray[np.float64]) -> None:
    scores = score(features, np.array([0, 1, 0, 1, 0, 1]))
    assert np.isfinite([scores.log_me, scores.h_score, scores.knn]).all()


@pytest.mark.parametrize("labels", [[0, 1], [0, 0, 0]])
def test_too_few_rows_or_classes_are_refused(labels: list[int]) -> None:
    with pytest.raises(TrialError, match="needs at least 3 rows and 2 classes"):
        score(np.eye(len(labels)), np.array(labels))
