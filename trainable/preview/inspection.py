"""The numbers behind `transfersweep inspect`: rows, classes, repeated texts, token lengths, the gain of truncation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from transformers import PretrainedConfig

from trainable.data.examples import Examples, count_shared_rows
from trainable.data.read_splits import Splits
from trainable.data.stratified_split import number_texts
from trainable.errors import ConfigError
from trainable.inputs.choices import pairs_of
from trainable.inputs.embedding_check import check_embeddings
from trainable.inputs.tokenizer_check import TokenizerCheck, check_tokenizer
from trainable.inputs.tokens import tokenize
from trainable.model.limits import read_limits
from trainable.model.pretrained import load_config, load_tokenizer
from trainable.settings.dataset import Dataset
from trainable.tasks.registry import TASKS, read_dataset
from trainable.tasks.task import LabelSummary, Task

PERCENTILES = (50, 75, 90, 95, 99, 100)
_BINS = 12
_UNLIMITED = 10**6  # tokenizers without a limit of their own give an absurdly large one


@dataclass(frozen=True)
class SplitCounts:
    """Counts of one split."""

    rows: int
    labels: LabelSummary
    """Number of rows by label name, in the order of the labels, or quartiles of numbers."""
    duplicates: int
    """Rows whose text is also in an earlier row of the split."""
    conflicting: int
    """Distinct texts with more than one label."""


@dataclass(frozen=True)
class PaddingCost:
    """The coverage and the cost of one padding length on the training split."""

    share_covered: float
    """Requested share of the texts that keep all tokens, 0.95 or 0.99."""
    padding_length: int
    """Tokens, a multiple of 8, or the encoder's number of positions if that is smaller."""
    share_cut: float
    """Share of the texts that lose tokens."""
    tokens: int
    """Tokens of an epoch, with special tokens, without padding."""
    share_compute: float
    """Compute of the encoder relative to no truncation, see `compute`."""


@dataclass(frozen=True)
class Counts:
    """What `transfersweep inspect` counts of any data; a trial cannot run with `problems`, but with `notes` it can."""

    name: str
    splits: dict[str, SplitCounts]
    overlaps: dict[str, int]
    """Rows of the second split whose text is also in the first, by pair of splits such as `train/test`."""
    notes: tuple[str, ...]
    problems: tuple[str, ...]


@dataclass(frozen=True)
class Inspection(Counts):
    """The result of `transfersweep inspect` for texts."""

    percentiles: dict[int, int]
    """Shortest length in tokens, with special tokens, that this percentage of the training texts do not exceed."""
    histogram: list[tuple[int, int, int]]
    """Bins: lowest length, highest length, and number of training texts."""
    positions: int | None
    """Maximum tokens of a sequence for the encoder; None if neither tokenizer nor encoder states a limit."""
    costs: list[PaddingCost]
    tokenizer_check: TokenizerCheck
    """The part of the texts of all splits that the tokenizer loses."""


def inspect_dataset(dataset: Dataset, encoder_folder: str, data_folders: Sequence[Path] = (Path(),)) -> Inspection:
    """Count the rows of a data set and measure its texts, even if it has mistakes.

    Lengths are those of the training split; of a question with choices, that of each pair of the question and a
    choice. Rows that no trial can use (no text, an unknown label) are not counted, and `problems` names them.

    Args:
        dataset: settings of the data.
        encoder_folder: a folder, or a hub name, with tokenizer and config.
        data_folders: folders in which relative file names are looked up.

    Raises:
        ConfigError: if nothing can be counted: a missing file or column, no tokenizer, or no usable row.
    """
    splits, problems = read_dataset(dataset, data_folders)
    if not len(splits.train):
        raise ConfigError(problems or f"{splits.name}: there is no training row")
    tokenizer = load_tokenizer(encoder_folder)
    config = load_config(encoder_folder)
    positions = tokenizer.model_max_length if tokenizer.model_max_length < _UNLIMITED else None
    try:
        positions = min(tokenizer.model_max_length, read_limits(encoder_folder).positions)
        check_embeddings(encoder_folder, tokenizer, config, min(2, len(splits.text_columns)))
    except ConfigError as error:
        problems = [*problems, *error.problems]
    tables, task = splits.by_name(), TASKS[dataset.task]
    if dataset.choice_columns:  # the encoder reads a question with one choice at a time
        tables = {split: pairs_of(table) for split, table in tables.items()}
    tokens = {split: tokenize(tokenizer, table) for split, table in tables.items()}
    lengths = tokens["train"].lengths(_UNLIMITED)
    return Inspection(
        **vars(counts_of(splits, task, problems)),
        percentiles={percent: _percentile(lengths, percent) for percent in PERCENTILES},
        histogram=_histogram(lengths),
        positions=positions,
        costs=[_cost(lengths, share, positions, config) for share in (0.95, 0.99)],
        tokenizer_check=check_tokenizer(tokenizer, tables, tokens),
    )


def counts_of(splits: Splits, task: Task, problems: Sequence[str]) -> Counts:
    """Return what is counted of any data."""
    counted = {split: _counts(table, splits.label_names, task) for split, table in splits.by_name().items()}
    return Counts(splits.name, counted, _overlaps(splits), splits.notes, tuple(problems))


def compute(lengths: NDArray[np.int64], hidden: int, intermediate: int) -> float:
    """Return the multiplications of one encoder layer for texts of these lengths, without padding.

    A text of T tokens costs `T * (4 H^2 + 2 H I)` for the projections of attention and the feed-forward block, and
    `2 H T^2` for attention itself (scores and weighted sum); H is the hidden, I the intermediate size.
    """
    tokens = lengths.astype(np.float64)
    return float((tokens * (4 * hidden**2 + 2 * hidden * intermediate) + 2 * hidden * tokens**2).sum())


def _counts(table: Examples, names: tuple[str, ...], task: Task) -> SplitCounts:
    of_row, first = number_texts(table.text_pairs())
    unequal = table.labels != table.labels[first][of_row]
    differs = unequal.any(axis=tuple(range(1, unequal.ndim)))
    labels = task.summary(table.labels, names) if len(table) else LabelSummary({}, {})
    return SplitCounts(len(table), labels, len(table) - len(first), len(np.unique(of_row[differs])))


def _overlaps(splits: Splits) -> dict[str, int]:
    tables = list(splits.by_name().items())
    return {
        f"{first}/{second}": count_shared_rows(a, b)
        for i, (first, a) in enumerate(tables)
        for second, b in tables[i + 1 :]
    }


def _percentile(lengths: NDArray[np.int64], percent: float) -> int:
    """Return the shortest length that this percentage of the texts do not exceed."""
    return int(np.percentile(lengths, percent, method="inverted_cdf"))


def _histogram(lengths: NDArray[np.int64]) -> list[tuple[int, int, int]]:
    """Return bins of equal width. The last bin also has the longest 1 %, so that one long text does not widen all."""
    low, high = int(lengths.min()), int(lengths.max())
    width = max(1, -(-(_percentile(lengths, 99) - low + 1) // _BINS))
    bins = np.minimum((lengths - low) // width, _BINS - 1)
    counts = np.bincount(bins)
    edges = [(low + i * width, low + (i + 1) * width - 1) for i in range(len(counts))]
    edges[-1] = (edges[-1][0], high)
    return [(start, end, int(count)) for (start, end), count in zip(edges, counts, strict=True)]


def _cost(lengths: NDArray[np.int64], share: float, positions: int | None, config: PretrainedConfig) -> PaddingCost:
    padding_length = -(-_percentile(lengths, 100 * share) // 8) * 8
    padding_length = min(padding_length, positions or padding_length)
    hidden = int(config.hidden_size)
    intermediate = int(getattr(config, "intermediate_size", None) or 4 * hidden)
    cut = np.minimum(lengths, padding_length)
    return PaddingCost(
        share_covered=share,
        padding_length=padding_length,
        share_cut=float((lengths > padding_length).mean()),
        tokens=int(cut.sum()),
        share_compute=compute(cut, hidden, intermediate) / compute(lengths, hidden, intermediate),
    )
