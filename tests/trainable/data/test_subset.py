"""Draws of training rows: stratified by number, or so many of each class; nested; and what is said about them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainable.data.subset import subset, subset_notes
from trainable.errors import ConfigError
from trainable.settings.stage import PerClass

LABELS = st.lists(st.integers(0, 4), min_size=1, max_size=80)


@given(labels=st.lists(st.integers(0, 4), min_size=1, max_size=80), seed=st.integers(0, 9), data=st.data())
def test_subsets_are_nested_and_stratified(labels: list[int], seed: int, data: st.DataObject) -> None:
    array = np.array(labels)
    more = data.draw(st.integers(1, len(labels)))
    fewer = data.draw(st.integers(1, more))
    large, small = subset(array, more, seed), subset(array, fewer, seed)
    assert len(small) == fewer
    assert set(small) <= set(large)
    assert (np.diff(large) > 0).all()
    classes = np.unique(array)
    assert len(np.unique(array[large])) == min(more, len(classes))
    for label in classes:
        share = (array == label).sum() * more / len(array)
        assert abs((array[large] == label).sum() - share) <= len(classes)


def test_all_rows_and_too_many() -> None:
    labels = np.array([0, 1, 0])
    assert subset(labels, None, 0).tolist() == subset(labels, 3, 0).tolist() == [0, 1, 2]
    with pytest.raises(ConfigError, match="train_rows: 4 is more than the 3 training rows"):
        subset(labels, 4, 0)


@given(labels=LABELS, seed=st.integers(0, 9), fewer=st.integers(1, 9), further=st.integers(0, 90))
def test_draws_per_class_are_nested_and_take_all_rows_of_a_small_class(
    labels: list[int], seed: int, fewer: int, further: int
) -> None:
    array = np.array(labels)
    small, large = (subset(array, PerClass(per_class=n), seed) for n in (fewer, fewer + further))
    assert set(small) <= set(large)
    assert (np.diff(small) > 0).all()
    for label in np.unique(array):
        assert (array[small] == label).sum() == min(fewer, (array == label).sum())


@given(labels=LABELS, seed=st.integers(0, 9))
def test_one_row_per_class_begins_every_draw(labels: list[int], seed: int) -> None:
    array = np.array(labels)
    one = subset(array, PerClass(per_class=1), seed)
    assert set(one) == set(subset(array, len(one), seed))


def test_another_seed_draws_other_rows() -> None:
    labels = np.arange(2).repeat(50)
    draws = {tuple(subset(labels, PerClass(per_class=5), seed).tolist()) for seed in range(5)}
    assert len(draws) == 5


def test_a_saved_draw_by_number_stays_the_same() -> None:
    """The cache and older sweeps depend on these rows."""
    assert subset(np.arange(3).repeat([20, 8, 2]), 8, 1).tolist() == [1, 7, 10, 16, 18, 22, 27, 28]


NAMES = ("ham", "spam", "other")


def test_a_draw_per_class_says_how_many_rows_it_takes_and_which_classes_have_fewer() -> None:
    labels = np.arange(3).repeat([20, 3, 1])
    assert list(subset_notes(labels, NAMES, PerClass(per_class=5), 0)) == [
        "train_rows: {per_class: 5} takes 9 of 24 training rows; "
        "2 of 3 classes have fewer and give all: 'other' 1x, 'spam' 3x"
    ]
    assert list(subset_notes(labels, NAMES, PerClass(per_class=1), 0)) == [
        "train_rows: {per_class: 1} takes 3 of 24 training rows"
    ]


def test_classes_left_with_one_row_are_named() -> None:
    labels = np.arange(3).repeat([20, 3, 1])
    (note,) = subset_notes(labels, NAMES, 6, 0)
    assert note.startswith("train_rows: 6 leaves 2 of 3 classes with one training row or none: 'spam' 1x, 'other' 1x; ")
    (note,) = subset_notes(labels, NAMES, 2, 0)
    assert "3 of 3 classes" in note
    assert " 0x" in note
    (note,) = subset_notes(labels, NAMES, None, 0)
    assert note.startswith("1 of 3 classes have one training row: 'other'")
    assert not list(subset_notes(labels[:20], ("ham",), None, 0))
