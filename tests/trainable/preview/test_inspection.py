"""The numbers of `inspect`, for data without and with mistakes."""

from pathlib import Path

import numpy as np
import pytest

from trainable.errors import ConfigError
from trainable.inputs.prepare import prepare
from trainable.preview.inspection import compute, inspect_dataset
from trainable.settings.dataset import Dataset


def test_numbers_of_real_text(films_csv: Path, minilm: str) -> None:
    dataset = Dataset(csv=films_csv.name)
    seen = inspect_dataset(dataset, minilm, [films_csv.parent])
    train = prepare(dataset, minilm, [films_csv.parent]).splits["train"]
    lengths = train.tokens.lengths(10**6)
    assert seen.splits["train"].rows == len(lengths) == sum(count for *_, count in seen.histogram)
    assert sum(counts.rows for counts in seen.splits.values()) == 160
    assert list(seen.splits["train"].labels.rows.values()) == np.bincount(train.labels).tolist()
    assert seen.percentiles[100] == lengths.max()
    for percent, length in seen.percentiles.items():
        assert (lengths <= length).mean() >= percent / 100
    assert seen.positions == 512
    for cost in seen.costs:
        assert cost.padding_length % 8 == 0
        assert (lengths > cost.padding_length).mean() == pytest.approx(cost.share_cut)
        assert cost.share_cut <= 1 - cost.share_covered + 1e-9
        assert cost.tokens == train.tokens.lengths(cost.padding_length).sum()
        assert 0 < cost.share_compute <= 1
    assert seen.problems == ()


def test_compute_of_one_text_by_hand() -> None:
    assert compute(np.array([3]), hidden=2, intermediate=5) == 3 * (4 * 4 + 2 * 2 * 5) + 2 * 2 * 9


def test_histogram_covers_every_length_once(films_csv: Path, tiny_bert: str) -> None:
    histogram = inspect_dataset(Dataset(csv=str(films_csv)), tiny_bert).histogram
    assert all(end + 1 == start for (_, end, _), (start, _, _) in zip(histogram, histogram[1:], strict=False))


def test_padding_length_stays_within_the_positions(tmp_path: Path, tiny_bert: str) -> None:
    rows = [f"{'word ' * 90}{i},{i % 2}" for i in range(20)]
    (tmp_path / "t.csv").write_text("\n".join(["text,label", *rows]))
    seen = inspect_dataset(Dataset(csv="t.csv"), tiny_bert, [tmp_path])
    assert [cost.padding_length for cost in seen.costs] == [64, 64]
    assert [cost.share_cut for cost in seen.costs] == [1, 1]


def test_faulty_data_gives_problems_beside_the_numbers(tmp_path: Path, tiny_bert: str) -> None:
    train = [f"text {i},{'ab'[i % 2]}" for i in range(20)] + ["text 0,b", ",a", "x,"]
    (tmp_path / "train.csv").write_text("\n".join(["text,label", *train]))
    (tmp_path / "val.csv").write_text("text,label\ntext 0,a\nnew,c\n")
    seen = inspect_dataset(Dataset(train="train.csv", validation="val.csv"), tiny_bert, [tmp_path])
    assert len(seen.problems) == 4
    assert seen.splits["train"].rows == 21
    assert (seen.splits["train"].duplicates, seen.splits["train"].conflicting) == (1, 1)
    assert seen.splits["validation"].labels.rows == {"a": 1, "b": 0, "c": 1}
    assert seen.overlaps == {"train/validation": 1}


def test_nothing_to_count_is_an_error(tmp_path: Path, tiny_bert: str) -> None:
    (tmp_path / "t.csv").write_text("text,label\n,a\n,b\n")
    with pytest.raises(ConfigError, match="2 rows with no text"):
        inspect_dataset(Dataset(csv="t.csv"), tiny_bert, [tmp_path])
