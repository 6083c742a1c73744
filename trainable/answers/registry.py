"""The answers of every task by its name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from trainable.answers.answer import Answers
from trainable.answers.image_classification import ImageAnswers
from trainable.answers.multi_label import LabelSetAnswers
from trainable.answers.multiple_choice import ChoiceAnswers
from trainable.answers.question_answering import SpanAnswers
from trainable.answers.regression import NumberAnswers
from trainable.answers.sequence_to_sequence import TextAnswers
from trainable.answers.tagging import TagAnswers

ANSWERS: Mapping[str, type[Answers]] = {
    "classification": Answers,
    "regression": NumberAnswers,
    "multi_label": LabelSetAnswers,
    "tagging": TagAnswers,
    "multiple_choice": ChoiceAnswers,
    "sequence_to_sequence": TextAnswers,
    "question_answering": SpanAnswers,
    "image_classification": ImageAnswers,
}
"""The answers of each task."""


def answers_of(
    task: str, names: Sequence[str], separator: str | None = None, choices: Sequence[str] | None = None
) -> Answers:
    """Return the answers of a model of a task.

    Args:
        task: the task.
        names: of the outputs, in their order.
        separator: what stands between several labels in a cell of the data.
        choices: the columns of the choices; a single one has lists.
    """
    columns = tuple(choices or ())
    return ANSWERS[task](tuple(names), separator or "|", columns if len(columns) > 1 else ())
