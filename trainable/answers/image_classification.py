"""The answers of an image classification: those of a classification, about images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from trainable.answers.answer import Answers


@dataclass(frozen=True)
class ImageAnswers(Answers):
    """The answers of a classification of images."""

    hub_task: ClassVar[str] = "image-classification"
    pipeline_arguments: ClassVar[str] = ""
    head: ClassVar[str | None] = "image"
    content: ClassVar[str] = "image"
    row: ClassVar[str | None] = '"photo.jpg"'
    note: ClassVar[str] = (
        "The image processor of the folder resizes images as in training, with Pillow; where torchvision is installed, "
        "transformers resizes with that, and probabilities may differ a little."
    )

    def limits(self) -> list[str]:
        """Return sentences for the card on what the answers cannot say."""
        knows = f"Knows only its {len(self.names)} labels and gives one of them to any image."
        return [knows, "Its probabilities are not calibrated."]
