"""The answers of a multiple-choice model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from trainable.answers.answer import Answers, Cell, Prediction
from trainable.data.choices import choices_there


@dataclass(frozen=True)
class ChoiceAnswers(Answers):
    """The answers of a multiple-choice model.

    Outputs have the shape (N, K, 1), values (N, K); those of a missing choice are NaN.
    """

    tags: ClassVar[tuple[str, ...]] = ("multiple-choice",)
    heading: ClassVar[str] = "Output"
    pipeline_arguments: ClassVar[str] = ', truncation=True, function_to_apply="none"'
    lists_choices: ClassVar[bool] = True

    def no_labels(self, columns: Sequence[Sequence[str]]) -> NDArray[np.int64]:
        """Return labels in the shape (N, K): 0, and -1 for a choice that a row does not have."""
        return choices_there(columns[1]).astype(np.int64) - 1

    def values(self, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the probability of each choice."""
        from scipy.special import softmax

        scores = outputs[..., 0]
        return np.where(np.isnan(scores), np.nan, softmax(np.where(np.isnan(scores), -np.inf, scores), axis=-1))

    def unit(self, outputs: NDArray[np.float32]) -> float:
        """Return the largest score, if that is more than 1."""
        return max(1.0, float(np.abs(outputs).max()))

    def answer(self, values: Sequence[float]) -> Prediction:
        """Return the place of the best choice, counted from 0, or the name of its column, and all probabilities."""
        chances = {self._name(place): value for place, value in enumerate(values) if value == value}
        best = max(chances, key=lambda name: chances[name])
        return Prediction(best, chances[best], chances)

    def columns(self) -> list[str]:
        """Return the columns that `predict` adds."""
        return ["predicted", "probability"]

    def cells(self, values: Sequence[float]) -> tuple[Cell, list[float]]:
        """Return the place or the column of the best choice, and its probability."""
        answer = self.answer(values)
        return answer.label, [answer.probability]

    def true(self, label: Any) -> str:
        """Return the place or the column of the right choice."""
        return self._name(int(np.argmax(label)))

    def does(self, texts: str) -> str:
        """Return the card's first sentence."""
        return "Chooses one of several answers to a question. It gives each pair of question and choice a score."

    def limits(self) -> list[str]:
        """Return sentences for the card on what the answers cannot say."""
        return ["Always chooses one of the given answers, also if none is right."]

    def python(self, outputs: str, name: str) -> str:
        """Return Python for the score of one pair."""
        return f"float({outputs}[0])  # the choice with the highest score is the answer"

    def pipeline_python(self, row: str) -> str:
        """Return Python that chooses one of two choices."""
        pair = '{"text": "Your question", "text_pair": choice}'
        return (
            'choices = ["First choice", "Second choice"]\n'
            f'scores = [each["score"] for each in classify([{pair} for choice in choices])]\n'
            "choices[scores.index(max(scores))]"
        )

    def _name(self, place: int) -> str:
        return self.choices[place] if self.choices else str(place)
