"""Batches hold every row once, have the requested sizes and follow the seed; evaluations come at the right steps."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from trainable.inputs.batches import POOL, epoch_batches, evaluation_batches, parts_of
from trainable.seeds import seed_of

LENGTHS = st.lists(st.integers(1, 64), min_size=1, max_size=300).map(np.array)


@given(LENGTHS, st.integers(1, 40), st.integers(0, 2**63 - 1))
def test_an_epoch_has_every_row_once_in_batches_of_the_size(lengths: np.ndarray, size: int, seed: int) -> None:
    batches = epoch_batches(lengths, size, seed)
    assert sorted(np.concatenate(batches)) == list(range(len(lengths)))
    sizes = sorted((len(batch) for batch in batches), reverse=True)
    full, rest = divmod(len(lengths), size)
    assert sizes == [size] * full + [rest] * bool(rest)
    assert all((a == b).all() for a, b in zip(batches, epoch_batches(lengths, size, seed), strict=True))


def test_another_seed_is_another_order() -> None:
    lengths = np.arange(100) % 7 + 1
    one, other = (np.concatenate(epoch_batches(lengths, 8, seed)).tolist() for seed in (0, 1))
    assert one != other


def test_rows_of_a_batch_have_similar_lengths() -> None:
    lengths = np.random.default_rng(0).integers(1, 128, POOL * 8 * 2)
    padded = sum(int(lengths[batch].max()) * len(batch) for batch in epoch_batches(lengths, 8, 0))
    assert padded < 1.1 * lengths.sum()
    plain = np.random.default_rng(0).permutation(len(lengths)).reshape(-1, 8)
    assert padded < 0.7 * sum(int(lengths[batch].max()) * 8 for batch in plain)


@given(LENGTHS, st.integers(1, 500), st.integers(0, 200))
def test_evaluation_batches_are_complete_and_within_budget(lengths: np.ndarray, budget: int, call: int) -> None:
    batches = evaluation_batches(lengths, budget, call)
    assert sorted(np.concatenate(batches)) == list(range(len(lengths)))
    assert all(len(batch) == 1 or lengths[batch].max() * len(batch) <= budget for batch in batches)
    longest = [int(lengths[batch].max()) for batch in batches]
    assert longest == sorted(longest, reverse=True)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=8).map(np.array), st.integers(1, 40), st.integers(0, 20))
def test_no_other_evaluation_batches_cost_less(lengths: np.ndarray, budget: int, call: int) -> None:
    def cost(batches: list[np.ndarray]) -> int:
        return sum(int(lengths[batch].max()) * len(batch) + call for batch in batches)

    order, inner = np.argsort(-lengths, kind="stable"), range(1, len(lengths))
    ways = (
        np.split(order, [place for place, cut in zip(inner, cuts, strict=True) if cut])
        for cuts in itertools.product((False, True), repeat=len(inner))
    )
    fitting = [way for way in ways if all(len(b) == 1 or lengths[b].max() * len(b) <= budget for b in way)]
    assert cost(evaluation_batches(lengths, budget, call)) == min(map(cost, fitting))


@given(st.integers(0, 50), st.integers(1, 8))
def test_parts_are_consecutive_and_complete(rows: int, count: int) -> None:
    parts = parts_of(np.arange(rows), count)
    assert len(parts) == count
    assert np.concatenate(parts).tolist() == list(range(rows))
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 1


def test_seeds_are_the_same_in_every_process_and_version() -> None:
    parts = ("dropout", 3, "source", 17, 1)
    assert seed_of(*parts) == 9_175_828_988_419_076_883
    assert seed_of(*parts) != seed_of(*parts[:-1], 2)
