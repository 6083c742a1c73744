"""An exported folder of any format as one object that answers rows, for `predict` and `transfersweep.classifier`."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from numpy.typing import NDArray
from transformers.utils import logging as transformers_logging

from search.export.facts import FolderFacts, read_facts
from search.export.formats.folders import folder_format
from search.export.formats.skops_folder import LogitsOfTexts, load_text_logits
from search.export.texts_in import tokens_for
from trainable.answers.answer import without_missing
from trainable.data.choices import joined_choices
from trainable.data.examples import Examples
from trainable.data.image_file import ImageFile
from trainable.inputs.decode import pixels_of
from trainable.inputs.pixels import PixelInputs
from trainable.inputs.span_inputs import in_windows
from trainable.inputs.split import Split
from trainable.inputs.targets import texts_of
from trainable.inputs.token_inputs import TokenInputs
from trainable.inputs.word_windows import with_windows
from trainable.metrics.sequence_to_sequence import SUMS, statistics
from trainable.model.image_processor import image_processor
from trainable.model.pretrained import load_tokenizer

Row = str | tuple[str, str] | tuple[str, list[str]] | Path
"""A text; a pair of texts for a model that was trained on pairs; a question with its choices; the path of an image."""
Rows = list[str] | list[tuple[str, str]] | list[tuple[str, list[str]]] | list[Path]
Cells = Sequence[list[str]] | Sequence[list[ImageFile]]
"""The texts of all rows by column, or the images of all rows."""


class Classifier:
    """Labels texts or images with an exported model. Texts are truncated as in training, and batched by length.

    >>> classify = Classifier.load(Path("sms-model"))
    >>> classify("Win a prize now").label
    'spam'

    Args:
        facts: the task, labels and settings of the model.
        logits_of: computes the logits of texts or images.
        text_of: makes texts of the token ids of a model that generates texts, shape (N, T).
    """

    def __init__(
        self, facts: FolderFacts, logits_of: LogitsOfTexts, text_of: Callable[[Any], Any] | None = None
    ) -> None:
        self._facts = facts
        self._text_of = text_of
        self._answers = facts.answers()
        self._logits_of = logits_of

    @classmethod
    def load(cls, folder: Path, facts: FolderFacts | None = None) -> "Classifier":
        """Load a folder that `transfersweep export` wrote.

        Args:
            folder: the folder.
            facts: what `read_facts` gave for it; none means to read them.

        Raises:
            ConfigError: if it is not such a folder, or is damaged.
        """
        transformers_logging.disable_progress_bar()
        facts = facts or read_facts(folder)
        if facts.format == "skops":
            return cls(facts, load_text_logits(folder, facts))
        if facts.answers().content == "image":
            return cls(facts, _with_image_processor(folder, facts))
        generates = facts.answers().outputs == "texts"
        return cls(facts, _with_tokenizer(folder, facts), partial(texts_of, str(folder)) if generates else None)

    @property
    def labels(self) -> tuple[str, ...]:
        """Return the label names, in the order of the logits."""
        return tuple(self._facts.label_names)

    @overload
    def __call__(self, rows: Row) -> Any: ...
    @overload
    def __call__(self, rows: Rows) -> list[Any]: ...
    def __call__(self, rows: Row | Rows) -> Any:
        """Answer for one text, or for a list of texts in their order; for a model of pairs, a tuple is a pair.

        A model of images takes the path of a file in the place of a text.

        The answer of a classification is a `Prediction`, that of a regression a number.

        Raises:
            TypeError: if a row is not what the model was trained on.
        """
        if isinstance(rows, str | tuple | Path):
            return self._answers_to([rows])[0]
        return self._answers_to(list(rows)) if rows else []

    def values(self, cells: Cells) -> NDArray[Any]:
        """Return the values of each row, such as the probability of each label, shape (N, C), or texts, shape (N,).

        Args:
            cells: of at least one row.
        """
        images = [cell for cell in cells[0] if isinstance(cell, ImageFile)]
        texts = [[cell if isinstance(cell, str) else cell.name for cell in column] for column in cells]
        second, labels = texts[1] if len(texts) > 1 else None, self._answers.no_labels(texts)
        table = Examples(texts[0], second, labels, images=images or None)
        logits = self._logits_of(table)
        if self._text_of is not None:
            return np.array(self._text_of(logits.long()), dtype=object)
        return self._answers.read(without_missing(logits.numpy(), labels), texts)

    def outputs(self, table: Examples) -> torch.Tensor:
        """Return what the scores of the task take, for at least one row; the loss of generated texts is not in it."""
        outputs = self._logits_of(table)
        if self._text_of is None:
            return outputs
        texts = self._text_of(outputs.long())
        return torch.from_numpy(statistics(np.zeros((len(table), len(SUMS))), texts, table.labels.tolist()))

    def _answers_to(self, rows: list[Row]) -> list[Any]:
        return [self._answers.answer(row) for row in self.values(self._columns(rows)).tolist()]

    def _columns(self, rows: list[Row]) -> Cells:
        if self._answers.content == "image":
            return [[_image(number, row) for number, row in enumerate(rows)]]
        columns = self._facts.text_columns
        if self._answers.lists_choices:
            return _with_choices(rows)
        split: list[tuple[Any, ...]] = [tuple(row) if isinstance(row, tuple) else (row,) for row in rows]
        for number, row in enumerate(split):
            if len(row) != len(columns) or not all(isinstance(text, str) for text in row):
                wanted = "a text" if len(columns) == 1 else f"a pair of texts ({', '.join(columns)})"
                raise TypeError(f"row {number}: this model labels {wanted}, got {rows[number]!r:.80}")
        return [list(column) for column in zip(*split, strict=True)]


def _with_choices(rows: list[Any]) -> list[list[str]]:
    """Return the questions, and the choices as one text for each question."""
    for number, row in enumerate(rows):
        pair = isinstance(row, tuple) and len(row) == 2 and isinstance(row[0], str) and isinstance(row[1], list)
        if not pair or sum(isinstance(choice, str) and bool(choice.strip()) for choice in row[1]) < 2:
            wanted = "a question and a list of at least two choices, such as (question, [first, second])"
            raise TypeError(f"row {number}: this model takes {wanted}, got {row!r:.80}")
    joined = joined_choices([[row[1] for row in rows]])
    if wrong := [number for number, text in enumerate(joined) if not isinstance(text, str)]:
        raise TypeError(f"row {wrong[0]}: a choice is no text: {rows[wrong[0]]!r:.80}")
    return [[row[0] for row in rows], joined]


def _image(number: int, row: Row) -> ImageFile:
    """Return the image at a path."""
    if isinstance(row, tuple) or not Path(row).is_file():
        raise TypeError(f"row {number}: this model labels images; give the path of a file, got {row!r:.80}")
    return ImageFile(str(row), f"row {number}", Path(row))


def _with_image_processor(folder: Path, facts: FolderFacts) -> LogitsOfTexts:
    """Return the function that computes logits of images with the encoder and the image processor of a folder."""
    logits_of, processor = folder_format(facts.format).load(folder, facts), image_processor(str(folder), None)

    def compute(table: Examples) -> torch.Tensor:
        pixels = pixels_of({"rows": table}, processor, str(folder), None)["rows"]
        return logits_of(PixelInputs(pixels, np.arange(len(table)), 1.0, flip=False))

    return compute


def _with_tokenizer(folder: Path, facts: FolderFacts) -> LogitsOfTexts:
    """Return the function that computes logits of texts with the encoder and the tokenizer of a folder."""
    logits_of, tokenizer = folder_format(facts.format).load(folder, facts), load_tokenizer(str(folder))

    answers, settings = facts.answers(), facts.settings

    def compute(table: Examples) -> torch.Tensor:
        tokens = tokens_for(answers, settings.pooling, tokenizer, table)
        tokens = with_windows(tokens, settings.long_texts)
        inputs = TokenInputs(tokens, np.arange(len(table)), settings.padding_length, fixed=False)
        return logits_of(in_windows(Split(inputs, table.labels), settings.stride).inputs)

    return compute
