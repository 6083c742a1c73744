"""How a task reads and checks its labels; `read_splits` knows no more of a task than this."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from trainable.data.check_results import CheckResults
from trainable.data.examples import LocatedExamples
from trainable.data.reading.raw_table import RawTable
from trainable.settings.dataset import Dataset

EMPTY, UNCLEAR = -1, -2
"""Numbers in place of a stratum: the row has no label; its label cannot be understood."""


@dataclass(frozen=True)
class Labels:
    """The label names of a data set, and the label of each row of its tables."""

    names: tuple[str, ...]
    of_rows: Mapping[str, NDArray[Any]]
    """By split, shape (rows of the table, ...): what the model learns, for classes the index into `names`."""
    strata: Mapping[str, NDArray[np.int64]]
    """By split, shape (rows of the table,): a number of 0 or more, whose shares the splits keep, such as the class; or
    `EMPTY` or `UNCLEAR`, and then the row cannot be used."""


class LabelReader(Protocol):
    """Reads and checks the labels of one task."""

    @property
    def reads_words(self) -> bool:
        """Return whether a text may be a list of words."""

    def columns(self, dataset: Dataset) -> tuple[str, ...]:
        """Return the columns that hold the labels; none for a task that learns from the texts alone."""

    def read(self, dataset: Dataset, raws: Mapping[str, RawTable], results: CheckResults) -> Labels:
        """Return the labels of the tables of all splits, and add mistakes to `results`."""

    def check_whole(self, whole: LocatedExamples, names: Sequence[str], parts: int) -> Iterator[str]:
        """Yield why the rows of one table cannot be cut into so many splits."""

    def check_splits(
        self, dataset: Dataset, splits: Mapping[str, LocatedExamples], names: Sequence[str], results: CheckResults
    ) -> None:
        """Add everything that is wrong or unusual in the labels of the finished splits to `results`."""


class ReaderDefaults:
    """What most readers answer: texts are no lists of words, and each split needs two rows."""

    reads_words = False

    def check_whole(self, whole: LocatedExamples, names: Sequence[str], parts: int) -> Iterator[str]:
        """Yield that there are too few rows, if so."""
        if len(whole.examples) < 2 * parts:
            yield f"{whole.raw.source}: {len(whole.examples)} rows are too few for {parts} splits; add rows"

    def check_splits(
        self, dataset: Dataset, splits: Mapping[str, LocatedExamples], names: Sequence[str], results: CheckResults
    ) -> None:
        """Find nothing wrong."""
