"""The answers of a multi-label classification."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from trainable.answers.answer import Answers, Cell


@dataclass(frozen=True)
class LabelSet:
    """The labels of one row."""

    labels: tuple[str, ...]
    """Those with a probability of at least 0.5, in the order of all labels; there may be none."""
    probabilities: dict[str, float]
    """Of every label, 0 to 1; not calibrated."""


@dataclass(frozen=True)
class LabelSetAnswers(Answers):
    """The answers of a multi-label classification."""

    tags: ClassVar[tuple[str, ...]] = ("multi-label-classification",)
    pipeline_arguments: ClassVar[str] = ', truncation=True, function_to_apply="sigmoid", top_k=None'

    def values(self, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the probability of each label."""
        from scipy.special import expit

        return np.asarray(expit(outputs))

    def answer(self, values: Sequence[float]) -> LabelSet:
        """Return the labels of a row."""
        return LabelSet(self._given(values), dict(zip(self.names, values, strict=True)))

    def columns(self) -> list[str]:
        """Return the columns that `predict` adds."""
        return ["predicted", *(f"p_{name}" for name in self.names)]

    def cells(self, values: Sequence[float]) -> tuple[Cell, list[float]]:
        """Return the labels in one cell, and the probability of each label."""
        return self.separator.join(self._given(values)), list(values)

    def true(self, label: Any) -> str:
        """Return the labels in one cell."""
        return self.separator.join(self._given(label.tolist()))

    def does(self, texts: str) -> str:
        """Return the card's first sentence."""
        return f"Gives {texts} any of {len(self.names)} labels."

    def limits(self) -> list[str]:
        """Return sentences for the card on what the answers cannot say."""
        knows = f"Knows only its {len(self.names)} labels, and may give none of them to a text."
        return [knows, "Its probabilities are not calibrated, but shifted so that 0.5 decides best on validation rows."]

    def python(self, outputs: str, name: str) -> str:
        """Return Python for the labels of one row."""
        return f"[{name.format(number='number')} for number in ({outputs} > 0).nonzero()[0]]"

    def text_model_python(self, row: str) -> str:
        """Return Python for the labels of one row; the model gives log-odds."""
        return f"[label for label, odds in zip({list(self.names)!r}, model.predict([{row}])[0]) if odds > 0]"

    def pipeline_python(self, row: str) -> str:
        """Return Python for the labels of one row."""
        return f'[answer["label"] for answer in classify([{row}])[0] if answer["score"] > 0.5]'

    def _given(self, values: Sequence[float]) -> tuple[str, ...]:
        return tuple(name for name, value in zip(self.names, values, strict=True) if value > 0.5)
