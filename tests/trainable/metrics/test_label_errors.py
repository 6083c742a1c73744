import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from trainable.metrics.label_errors import likely_label_errors


@given(st.integers(2, 5), st.integers(0, 10**6))
def test_the_changed_labels_of_a_sure_model_are_found_and_no_others(classes: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    true = np.repeat(np.arange(classes), 20)
    chances = np.full((len(true), classes), 0.05 / (classes - 1))
    chances[np.arange(len(true)), true] = 0.95
    labels = true.copy()
    changed = generator.choice(len(true), 3, replace=False)
    labels[changed] = (labels[changed] + 1) % classes
    assert np.flatnonzero(likely_label_errors(chances, labels)).tolist() == sorted(changed.tolist())


def test_a_model_that_is_never_sure_doubts_no_label() -> None:
    chances = np.array([[0.6, 0.4], [0.55, 0.45], [0.45, 0.55], [0.4, 0.6], [0.5, 0.5]])
    assert not likely_label_errors(chances, np.array([0, 0, 1, 1, 1])).any()


def test_a_class_without_rows_is_never_the_better_label() -> None:
    chances = np.array([[0.2, 0.1, 0.7], [0.1, 0.8, 0.1]])
    assert likely_label_errors(chances, np.array([0, 1])).tolist() == [False, False]
