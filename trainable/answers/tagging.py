"""The answers of a tagger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from trainable.answers.answer import Answers, Cell
from trainable.data.checks.texts import SEPARATOR


@dataclass(frozen=True)
class TagAnswers(Answers):
    """The answers of a tagger. Outputs and values have the shape (N, W, C); those of a missing word are NaN."""

    hub_task: ClassVar[str] = "token-classification"
    heading: ClassVar[str] = "Tags"
    pipeline_arguments: ClassVar[str] = ', aggregation_strategy="first"'
    head: ClassVar[str | None] = "every_token"

    def no_labels(self, columns: Sequence[Sequence[str]]) -> NDArray[np.int64]:
        """Return labels in the shape (N, W): 0, and -1 after the last word of a row."""
        words = np.array([len(text.split(SEPARATOR)) for text in columns[0]])
        return -(np.arange(words.max()) >= words[:, None]).astype(np.int64)

    def answer(self, values: Sequence[Any]) -> list[str]:
        """Return the tag of each word."""
        return [self.names[int(np.argmax(word))] for word in values if not np.isnan(word[0])]

    def columns(self) -> list[str]:
        """Return the one column that `predict` adds."""
        return ["predicted"]

    def cells(self, values: Sequence[Any]) -> tuple[Cell, list[float]]:
        """Return the tags in one cell, and no probabilities."""
        return SEPARATOR.join(self.answer(values)), []

    def true(self, label: Any) -> str:
        """Return the tags in one cell."""
        return SEPARATOR.join(self.names[tag] for tag in label if tag >= 0)

    def does(self, texts: str) -> str:
        """Return the card's first sentence."""
        return f"Gives each word of {texts} one of {len(self.names)} tags."

    def limits(self) -> list[str]:
        """Return sentences for the card on what the answers cannot say."""
        return [f"A word without a token that it reads gets the tag {self.names[0]}."]

    def python(self, outputs: str, name: str) -> str:
        """Return Python for the tag of each token; the first token of a word answers for it."""
        return f"[(token, {name.format(number='each.argmax()')}) for token, each in zip(rows[0].tokens, {outputs})]"

    def pipeline_python(self, row: str) -> str:
        """Return Python for the entities of one row, or its words with tags that are no entities."""
        return f'[(each["word"], each["entity_group"]) for each in classify({row})]'
