"""What a model answers: how its outputs become what a user reads, and how texts describe that. No torch.

`predict`, `transfersweep.classifier`, the model card and the lines of Python that it shows ask for nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

Cell = str | float


def without_missing(outputs: NDArray[np.float32], labels: NDArray[Any]) -> NDArray[np.float32]:
    """Return outputs with NaN in place of each word or choice that a row does not have.

    Args:
        outputs: of a model, shape (N, ...).
        labels: of the rows; below 0 where there is no word or choice.
    """
    if outputs.ndim < 3 or labels.dtype == object:
        return outputs
    outputs = outputs.copy()
    outputs[labels < 0] = np.nan
    return outputs


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
    choices: tuple[str, ...] = ()
    """The columns of the choices; empty if a row's choices are a list, or the task has none."""

    hub_task: ClassVar[str] = "text-classification"
    """The hub's name of the task."""
    tags: ClassVar[tuple[str, ...]] = ()
    """Further tags on the hub."""
    heading: ClassVar[str] = "Labels"
    """What the names are."""
    pipeline_arguments: ClassVar[str] = ", truncation=True"
    """Further arguments of `transformers.pipeline`, as Python."""
    head: ClassVar[str | None] = None
    """What the head reads, if `pooling` does not decide that: `every_token`, `image` or `decoder`."""
    outputs: ClassVar[str] = "logits"
    """What an export is compared on: `logits`, or `texts` of which the outputs are the token ids."""
    content: ClassVar[str] = "text"
    """What a row is: `text` or `image`."""
    row: ClassVar[str | None] = None
    """Python for a row; None: for a text or a pair, as the format of the folder takes it."""
    note: ClassVar[str] = ""
    """What to know about the lines of Python of the card; empty for that of the format."""
    lists_choices: ClassVar[bool] = False
    """Whether the columns after the first one are the choices of a row, and the model answers for each of them."""

    @classmethod
    def public_names(cls, names: Sequence[str]) -> tuple[str, ...]:
        """Return the names of the outputs for users, from those of the model of a trial."""
        return tuple(map(str, names))

    def no_labels(self, columns: Sequence[Sequence[str]]) -> NDArray[Any]:
        """Return labels that mean nothing, in the shape that the task's labels have for texts.

        They are below 0 in place of a word or a choice that a row does not have.

        Args:
            columns: the one or two texts of all rows, by column.
        """
        return np.zeros(len(columns[0]), dtype=np.int64)

    def values(self, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the values of rows from the model's outputs, both of shape (N, C)."""
        from scipy.special import softmax  # takes a second; wrong names are reported before

        return np.asarray(softmax(outputs, axis=-1))

    def read(self, outputs: NDArray[np.float32], columns: Sequence[Sequence[str]]) -> NDArray[Any]:
        """Return the values of rows from the model's outputs and the one or two texts of all rows, by column."""
        return self.values(outputs)

    def compared(self, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the part of the outputs in which an exported model must be equal to the checkpoint."""
        return outputs

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

    def true(self, label: Any) -> Cell:
        """Return what the data say of a row, in the form of the first of its `cells`.

        Args:
            label: of the row, as its task's `LabelReader` gives it.
        """
        return self.names[int(label)]

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

    def own_python(self, folder: str, library: str) -> str:
        """Return Python for the answer of one row by a library; empty if the lines of the format do."""
        return ""

    def text_model_python(self, row: str) -> str:
        """Return Python for the answer of one row by the scikit-learn pipeline `model`."""
        return f"str(model.predict([{row}])[0])"

    def pipeline_python(self, row: str) -> str:
        """Return Python for the answer of one row, itself given as Python, by the transformers pipeline `classify`."""
        return f"classify({row})"
