"""The answers of a regression."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from trainable.answers.answer import Answers, Cell


@dataclass(frozen=True)
class NumberAnswers(Answers):
    """The answers of a regression."""

    tags: ClassVar[tuple[str, ...]] = ("regression",)
    heading: ClassVar[str] = "Output"
    pipeline_arguments: ClassVar[str] = ', truncation=True, function_to_apply="none"'

    def values(self, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the outputs, which have the labels' units."""
        return outputs

    def unit(self, outputs: NDArray[np.float32]) -> float:
        """Return the largest output, if that is more than 1: numbers of any size occur."""
        return max(1.0, float(np.abs(outputs).max()))

    def answer(self, values: Sequence[float]) -> float:
        """Return the number, with as many digits as 32 bits hold."""
        return float(str(np.float32(values[0])))

    def columns(self) -> list[str]:
        """Return the one column that `predict` adds."""
        return ["predicted"]

    def cells(self, values: Sequence[float]) -> tuple[Cell, list[float]]:
        """Return the number, and no probabilities."""
        return self.answer(values), []

    def true(self, label: Any) -> float:
        """Return the number."""
        return self.answer([label])

    def does(self, texts: str) -> str:
        """Return the card's first sentence."""
        return f"Gives {texts} a number."

    def limits(self) -> list[str]:
        """Return sentences for the card on what the answers cannot say."""
        return ["Gives a number to any text, in any language, also far outside the range of its training rows."]

    def python(self, outputs: str, name: str) -> str:
        """Return Python for the number of one row."""
        return f"float({outputs}[0])"

    def text_model_python(self, row: str) -> str:
        """Return Python for the number of one row."""
        return f"float(model.predict([{row}])[0])"

    def pipeline_python(self, row: str) -> str:
        """Return Python for the number of one row."""
        return f'classify([{row}])[0]["score"]'
