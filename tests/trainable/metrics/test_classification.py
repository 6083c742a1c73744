"""The scores are scikit-learn's, and the interval behaves like one."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from trainable.metrics.bootstrap import mean_interval
from trainable.metrics.classification import bootstrap_interval, confusion, per_class, scores
from trainable.metrics.metric import TASK_METRICS, is_better
from trainable.metrics.probabilities import SCORES

NAMES = TASK_METRICS["classification"]
COUNTED = [name for name in NAMES if name != "loss" and name not in SCORES]
"""The metrics that confusion counts decide."""


@st.composite
def predictions(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, int]:
    """Labels and predictions of 2 to 6 classes, some of which may not occur in either."""
    classes = draw(st.integers(2, 6))
    rows = draw(st.integers(1, 40))
    column = st.lists(st.integers(0, classes - 1), min_size=rows, max_size=rows)
    return np.array(draw(column)), np.array(draw(column)), classes


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::RuntimeWarning")  # scikit-learn's, of one class only
@given(predictions())
def test_scores_are_those_of_scikit_learn(drawn: tuple[np.ndarray, np.ndarray, int]) -> None:
    labels, predicted, classes = drawn
    ours = scores(confusion(labels, predicted, classes))
    options = {"zero_division": 0.0}
    theirs = {
        "accuracy": sk.accuracy_score(labels, predicted),
        "macro_f1": sk.f1_score(labels, predicted, average="macro", **options),
        "weighted_f1": sk.f1_score(labels, predicted, average="weighted", **options),
        "macro_precision": sk.precision_score(labels, predicted, average="macro", **options),
        "macro_recall": sk.recall_score(labels, predicted, average="macro", **options),
        "balanced_accuracy": sk.recall_score(
            labels, predicted, average="macro", labels=np.unique(labels), zero_division=0.0
        ),
        "mcc": sk.matthews_corrcoef(labels, predicted),
    }
    average = "binary" if classes == 2 else "macro"  # of the second class, or the mean
    for name, beta in (("f1", 1.0), ("f2", 2.0), ("f05", 0.5)):
        theirs[name] = sk.fbeta_score(labels, predicted, beta=beta, average=average, **options)
    assert {name: float(value) for name, value in ours.items()} == pytest.approx(theirs, abs=1e-12)
    assert set(ours) == set(COUNTED)


@given(predictions())
def test_counts_and_the_table_of_classes(drawn: tuple[np.ndarray, np.ndarray, int]) -> None:
    labels, predicted, classes = drawn
    counts = confusion(labels, predicted, classes)
    assert (counts == sk.confusion_matrix(labels, predicted, labels=range(classes))).all()
    rows = per_class(counts, tuple("abcdef"[:classes]))
    precision, recall, f1, support = sk.precision_recall_fscore_support(
        labels, predicted, labels=range(classes), zero_division=0.0
    )
    assert [row.label for row in rows] == list("abcdef"[:classes])
    assert [row.precision for row in rows] == pytest.approx(precision)
    assert [row.recall for row in rows] == pytest.approx(recall)
    assert [row.f1 for row in rows] == pytest.approx(f1)
    assert [row.rows for row in rows] == list(support)


@given(st.lists(predictions(), min_size=1, max_size=3))
def test_leading_dimensions_are_kept(drawn: list[tuple[np.ndarray, np.ndarray, int]]) -> None:
    counts = [confusion(labels, predicted, 6) for labels, predicted, _ in drawn]
    together = scores(np.stack(counts))
    for name, values in together.items():
        assert values.tolist() == [float(scores(one)[name]) for one in counts]


@pytest.mark.parametrize("metric", COUNTED)
def test_interval_covers_the_value_and_shrinks_with_rows(metric: str) -> None:
    counts = np.array([[40, 8, 2], [6, 30, 4], [5, 5, 20]])
    widths = []
    for times in (1, 4, 16):
        low, high = bootstrap_interval(counts * times, metric)
        assert low < float(scores(counts)[metric]) < high
        widths.append(high - low)
    # Four times the rows halve the width.
    assert widths[1] / widths[0] == pytest.approx(0.5, abs=0.06)
    assert widths[2] / widths[1] == pytest.approx(0.5, abs=0.06)
    assert bootstrap_interval(counts, metric) == bootstrap_interval(counts, metric)


def test_interval_of_a_mean_covers_it_and_shrinks_with_rows() -> None:
    values = np.random.default_rng(1).gamma(2.0, size=400)
    low, high = mean_interval(values)
    assert low < values.mean() < high
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.1)


def test_interval_is_seeded() -> None:
    counts = np.random.default_rng(0).integers(1, 1000, (3, 3))
    assert bootstrap_interval(counts, "macro_f1") != bootstrap_interval(counts, "macro_f1", seed=1)


@pytest.mark.parametrize("classes", [2, 30])
@pytest.mark.parametrize("metric", ["accuracy", "mcc", "macro_f1"])
def test_an_interval_is_that_of_all_draws_at_once(classes: int, metric: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Most cells of the larger table are empty, among them the last."""
    counts = np.random.default_rng(1).integers(0, 9, (classes, classes)) * np.eye(classes, k=1, dtype=np.int64)
    counts[0, 0] = 5
    draws = np.random.default_rng(0).multinomial(counts.sum(), (counts / counts.sum()).ravel(), size=2000)
    expected = np.quantile(scores(draws.reshape(2000, classes, classes))[metric], [0.025, 0.975])
    monkeypatch.setattr("trainable.metrics.bootstrap._MAX_VALUES", 7 * classes**2)
    assert bootstrap_interval(counts, metric) == tuple(expected)


def test_an_interval_of_a_mean_is_that_of_all_draws_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(1).gamma(2.0, size=301)
    picks = np.random.default_rng(0).integers(301, size=(2000, 301))
    monkeypatch.setattr("trainable.metrics.bootstrap._MAX_VALUES", 7 * 301)
    assert mean_interval(values) == tuple(np.quantile(values[picks].mean(1), [0.025, 0.975]))


def test_intervals_of_many_classes_and_rows_take_little_memory() -> None:
    labels = np.random.default_rng(0).integers(151, size=100_000)
    counts = confusion(labels, np.roll(labels, 1), 151)
    tracemalloc.start()
    bootstrap_interval(counts, "macro_f1", draws=400)
    mean_interval(labels.astype(np.float64), draws=40)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100 * 2**20


def test_better_knows_the_direction_and_refuses_what_is_no_number() -> None:
    assert is_better(0.5, 0.4, "accuracy")
    assert not is_better(0.4, 0.4, "accuracy")
    assert is_better(0.3, 0.4, "loss")
    assert not is_better(0.5, 0.4, "loss")
    assert is_better(0.1, None, "accuracy")
    for metric in NAMES:
        assert not is_better(float("nan"), None, metric)
        assert not is_better(float("nan"), 0.4, metric)
