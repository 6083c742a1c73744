"""Rows of one group are never in two splits, whether we cut the splits or they are given."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainable.data.stratified_split import split_rows
from trainable.errors import ConfigError
from trainable.settings.dataset import Dataset
from trainable.tasks.registry import read_splits


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 2)), min_size=1, max_size=40),
    seed=st.integers(0, 5),
)
def test_neither_a_text_nor_a_group_is_in_two_parts(rows: list[tuple[int, int, int]], seed: int) -> None:
    texts, groups, labels = (np.array(column) for column in zip(*rows, strict=True))
    pairs = [(str(text), None) for text in texts]
    parts = split_rows(pairs, labels, (0.2, 0.3), seed, groups)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(rows)))
    for values in (texts, groups):
        sets = [set(values[part].tolist()) for part in parts]
        assert sum(map(len, sets)) == len(set.union(*sets))


def write(file: Path, groups: list[str]) -> str:
    lines = [f"text {file.stem} {i},{'ab'[i % 2]},{group}" for i, group in enumerate(groups)]
    file.write_text("\n".join(["text,label,customer", *lines]) + "\n", encoding="utf-8")
    return str(file)


def test_splits_that_are_cut_here_share_no_group(tmp_path: Path) -> None:
    file = write(tmp_path / "all.csv", [f"c{i // 4}" for i in range(80)])
    splits = read_splits(Dataset(csv=file, group="customer", test_fraction=0.2)).by_name().values()
    groups = [set(examples.groups.tolist()) for examples in splits if examples.groups is not None]
    assert len(groups) == 3
    assert sum(map(len, groups)) == len(set.union(*groups)) == 20


def test_given_splits_that_share_a_group_are_an_error(tmp_path: Path) -> None:
    train, held_out = write(tmp_path / "train.csv", ["c1", "c2"] * 4), write(tmp_path / "val.csv", ["c3", "c2"] * 2)
    with pytest.raises(ConfigError, match=r"val.csv: 2 of 4 validation rows belong to groups that train has too.*'c2'"):
        read_splits(Dataset(train=train, validation=held_out, group="customer"))


def test_a_row_without_a_group_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no group in column 'customer'"):
        read_splits(Dataset(csv=write(tmp_path / "all.csv", ["c1", "c2", ""] * 10), group="customer"))
