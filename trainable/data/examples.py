"""The checked rows of a split: texts, labels, and the position of each row in its file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainable.data.image_file import ImageFile
from trainable.data.message_text import shortened
from trainable.data.reading.raw_table import RawTable

TextPair = tuple[str, str | None]


@dataclass(frozen=True)
class Examples:
    """The rows of one split: N texts, N pairs of texts or N images, with their labels."""

    text: list[str]
    """(N,); of images the SHA-256 (hex) of each file, so that equal images are equal texts."""
    text_b: list[str] | None
    labels: NDArray[Any]
    """(N, ...), what the model learns; of a classification the index into the label names."""
    bins: NDArray[np.int64] | None = None
    """(N,), what splits keep in proportion; None means the labels."""
    groups: NDArray[np.int64] | None = None
    """(N,), number of each row's group, which no two splits share; None if rows have none."""
    images: list[ImageFile] | None = None
    """(N,), where each image is; None for texts."""

    @property
    def noun(self) -> str:
        """Return what a message calls a row's content."""
        return "text" if self.images is None else "image"

    def shown(self, row: int) -> str:
        """Return a row's content as a message shows it, shortened."""
        return shortened(self.text[row] if self.images is None else self.images[row].name)

    @property
    def strata(self) -> NDArray[np.int64]:
        """Return what splits keep in proportion, such as the class, shape (N,)."""
        return self.labels if self.bins is None else self.bins

    def __len__(self) -> int:
        """Return N."""
        return len(self.text)

    def take(self, rows: NDArray[np.int64]) -> Examples:
        """Return only the given rows (0-based), in the given order."""
        text_b = None if self.text_b is None else [self.text_b[i] for i in rows]
        bins, groups = (None if each is None else each[rows] for each in (self.bins, self.groups))
        images = None if self.images is None else [self.images[i] for i in rows]
        return Examples([self.text[i] for i in rows], text_b, self.labels[rows], bins, groups, images)

    def followed_by(self, other: Examples) -> Examples:
        """Return these rows, then those of another split of the same data set; texts and labels only."""
        text_b = None if self.text_b is None or other.text_b is None else [*self.text_b, *other.text_b]
        return Examples([*self.text, *other.text], text_b, np.concatenate([self.labels, other.labels]))

    def text_pairs(self) -> list[TextPair]:
        """Return (text, text_b) of each row, or (text, None). Rows with equal pairs give the model equal inputs."""
        return list(zip(self.text, self.text_b if self.text_b is not None else [None] * len(self), strict=True))


@dataclass(frozen=True)
class LocatedExamples:
    """The examples of one split, and the row of the file that each one comes from."""

    examples: Examples
    raw: RawTable
    raw_rows: NDArray[np.int64]
    """(N,), 0-based row in `raw` of each example."""
    refused_classes: frozenset[int] = frozenset()
    """Strata of the rows of `raw` that cannot be used. `EMPTY` or `UNCLEAR` for such rows without a known label."""

    def position(self, row: int) -> str:
        """Return the line or row of the file for a row of the examples, such as `line 7`."""
        return self.raw.position(int(self.raw_rows[row]))

    def take(self, rows: NDArray[np.int64]) -> LocatedExamples:
        """Return only the given rows (0-based), with their positions in the file."""
        return replace(self, examples=self.examples.take(rows), raw_rows=self.raw_rows[rows])


def shared_rows(a: Examples, b: Examples) -> NDArray[np.int64]:
    """Return the rows of `b` (ascending) whose texts also occur in `a`. Rows without any text do not count."""
    seen = {pair for pair in a.text_pairs() if any(text and text.strip() for text in pair)}
    return np.array([row for row, pair in enumerate(b.text_pairs()) if pair in seen], dtype=np.int64)


def count_shared_rows(a: Examples, b: Examples) -> int:
    """Count the rows of `b` whose texts also occur in `a`."""
    return len(shared_rows(a, b))
