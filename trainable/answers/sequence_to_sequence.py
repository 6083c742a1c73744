"""The answers of a model that generates texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from numpy.typing import NDArray

from trainable.answers.answer import Answers, Cell


@dataclass(frozen=True)
class TextAnswers(Answers):
    """The answers of a model that generates texts. Outputs are token ids, shape (N, T), and a value is a text."""

    hub_task: ClassVar[str] = "text-generation"
    tags: ClassVar[tuple[str, ...]] = ("text2text-generation",)
    heading: ClassVar[str] = "Output"
    head: ClassVar[str | None] = "decoder"
    outputs: ClassVar[str] = "texts"

    @classmethod
    def public_names(cls, names: Sequence[str]) -> tuple[str, ...]:
        """Return one name, as the outputs of a trial are only numbers for its scores."""
        return ("text",)

    def values(self, outputs: NDArray[Any]) -> NDArray[Any]:
        """Return the outputs; a tokenizer makes texts of them."""
        return outputs

    def answer(self, values: Sequence[Any]) -> str:
        """Return the text."""
        return str(values)

    def columns(self) -> list[str]:
        """Return the one column that `predict` adds."""
        return ["predicted"]

    def cells(self, values: Sequence[Any]) -> tuple[Cell, list[float]]:
        """Return the text, and no probabilities."""
        return str(values), []

    def true(self, label: Any) -> str:
        """Return the first of the right texts."""
        return str(label[0])

    def does(self, texts: str) -> str:
        """Return the card's first sentence."""
        return f"Generates new texts from {texts}."

    def limits(self) -> list[str]:
        """Return sentences for the card on what the answers cannot say."""
        return [
            "Generates fluent text that may be wrong, also for texts unlike its training rows; check it.",
            "`generation_config.json` holds the search for the best text (`num_beams`, `length_penalty`, "
            "`max_new_tokens`) with which it was scored.",
        ]
