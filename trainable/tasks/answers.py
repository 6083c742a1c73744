"""What a model of each task answers: how its outputs become what a user reads, and how texts describe that. No torch.

`predict`, `transfersweep.classifier`, the model card and the lines of Python that it shows ask for nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from trainable.data.checks.texts import SEPARATOR

Cell = str | float


@dataclass(frozen=True)
class Prediction:
    """The label of one row."""

    label: str
    """The most probable label."""
    probability: float
    """Of that label, 0 to 1; not calibrated."""
    probabilities: dict[str, float]
    """Of every label; they add up to 1."""


@dataclass(frozen=True)
class Answers:
    """The answers of one model; here those of a task with one class for each row.

    Values are what `values` makes of the model's outputs: probabilities, or numbers in the labels' units.
    """

    names: tuple[str, ...]
    """Names of the outputs, in their order."""
    separator: str = "|"
    """What stands between several labels in a cell."""

    hub_task: ClassVar[str] = "text-classification"
    """The hub's name of the task."""
    tags: ClassVar[tuple[str, ...]] = ()
    """Further tags on the hub."""
    heading: ClassVar[str] = "Labels"
    """What the names are."""
    pipeline_arguments: ClassVar[str] = ", truncation=True"
    """Further arguments of `transformers.pipeline`, as Python."""
    head: ClassVar[str | None] = None
    """What the head reads, if `pooling` does not decide that: `every_token`."""

    def no_labels(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Return labels that mean nothing, in the shape that the task's labels have for texts."""
        return np.zeros(len(texts), dtype=np.int64)

    def values(self, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the values of rows from the model's outputs, both of shape (N, C)."""
        from scipy.special import softmax  # takes a second; wrong names are reported before

        return np.asarray(softmax(outputs, axis=-1))

    def unit(self, outputs: NDArray[np.float32]) -> float:
        """Return the size of the outputs, to which rounding errors are proportional."""
        return 1.0

    def answer(self, values: Sequence[float]) -> Any:
        """Return what `transfersweep.classifier` gives for a row: here a `Prediction`."""
        best = int(np.argmax(values))
        return Prediction(self.names[best], values[best], dict(zip(self.names, values, strict=True)))

    def columns(self) -> list[str]:
        """Return the columns that `predict` adds; the first one is `predicted`."""
        return ["predicted", "probability", *(f"p_{name}" for name in self.names)]

    def cells(self, values: Sequence[float]) -> tuple[Cell, list[float]]:
        """Return the cells of a row in these columns: what is predicted, and probabilities."""
        best = int(np.argmax(values))
        return self.names[best], [values[best], *values]

    def does(self, texts: str) -> str:
        """Return the card's first sentence.

        Args:
            texts: `texts` or `pairs of texts`.
        """
        return f"Sorts {texts} into {len(self.names)} classes."

    def limits(self) -> list[str]:
        """Return sentences for the card on what the answers cannot say."""
        knows = f"Knows only its {len(self.names)} labels and gives one of them to any text, in any language."
        return [knows, "Its probabilities are not calibrated."]

    def python(self, outputs: str, name: str) -> str:
        """Return Python for the answer of one row.

        Args:
            outputs: Python for its outputs, an array of shape (C,).
            name: Python for the name of an output, with the field `number`.
        """
        return name.format(number=f"{outputs}.argmax()")

    def pipeline_python(self, row: str) -> str:
        """Return Python for the answer of one row, itself given as Python, by the transformers pipeline `classify`."""
        return f"classify({row})"


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

    def does(self, texts: str) -> str:
        """Return the card's first sentence."""
        return f"Gives {texts} a number."

    def limits(self) -> list[str]:
        """Return sentences for the card on what the answers cannot say."""
        return ["Gives a number to any text, in any language, also far outside the range of its training rows."]

    def python(self, outputs: str, name: str) -> str:
        """Return Python for the number of one row."""
        return f"float({outputs}[0])"

    def pipeline_python(self, row: str) -> str:
        """Return Python for the number of one row."""
        return f'classify([{row}])[0]["score"]'


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

    def pipeline_python(self, row: str) -> str:
        """Return Python for the labels of one row."""
        return f'[answer["label"] for answer in classify([{row}])[0] if answer["score"] > 0.5]'

    def _given(self, values: Sequence[float]) -> tuple[str, ...]:
        return tuple(name for name, value in zip(self.names, values, strict=True) if value > 0.5)


@dataclass(frozen=True)
class TagAnswers(Answers):
    """The answers of a tagger. Outputs and values have the shape (N, W, C); those of a missing word are NaN."""

    hub_task: ClassVar[str] = "token-classification"
    heading: ClassVar[str] = "Tags"
    pipeline_arguments: ClassVar[str] = ', aggregation_strategy="first"'
    head: ClassVar[str | None] = "every_token"

    def no_labels(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Return labels in the shape (N, W)."""
        return np.zeros((len(texts), max(len(text.split(SEPARATOR)) for text in texts)), dtype=np.int64)

    def answer(self, values: Sequence[Any]) -> list[str]:
        """Return the tag of each word."""
        return [self.names[int(np.argmax(word))] for word in values if not np.isnan(word[0])]

    def columns(self) -> list[str]:
        """Return the one column that `predict` adds."""
        return ["predicted"]

    def cells(self, values: Sequence[Any]) -> tuple[Cell, list[float]]:
        """Return the tags in one cell, and no probabilities."""
        return SEPARATOR.join(self.answer(values)), []

    def does(self, texts: str) -> str:
        """Return the card's first sentence."""
        return f"Gives each word of {texts} one of {len(self.names)} tags."

    def limits(self) -> list[str]:
        """Return sentences for the card on what the answers cannot say."""
        return [f"Words after the first tokens that it reads get the tag {self.names[0]}."]

    def pipeline_python(self, row: str) -> str:
        """Return Python for the entities of one row, or its words with tags that are no entities."""
        return f'[(each["word"], each["entity_group"]) for each in classify({row})]'


ANSWERS: Mapping[str, type[Answers]] = {
    "classification": Answers,
    "regression": NumberAnswers,
    "multi_label": LabelSetAnswers,
    "tagging": TagAnswers,
}
"""The answers of each task."""


def answers_of(task: str, names: Sequence[str], separator: str | None = None) -> Answers:
    """Return the answers of a model of a task.

    Args:
        task: the task.
        names: of the outputs, in their order.
        separator: what stands between several labels in a cell of the data.
    """
    return ANSWERS[task](tuple(names), separator or "|")
