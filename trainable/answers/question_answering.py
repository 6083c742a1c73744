"""The answers of a question-answering model: spans of a context."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from trainable.answers.answer import Answers, Cell

_TRANSFORMERS = """\
import torch
from transformers import AutoModelForQuestionAnswering, AutoTokenizer

folder = {folder}
tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForQuestionAnswering.from_pretrained(folder)
question, context = "Your question", "Your context"
row = tokenizer(question, context, truncation="only_second", return_offsets_mapping=True, return_tensors="pt")
own, characters = [i for i, text in enumerate(row.sequence_ids(0)) if text == 1], row.pop("offset_mapping")[0]
start, end = model(**row).to_tuple()[:2]
allowed = torch.ones(len(own), len(own)).triu().tril(29).bool()
scores = (start[0, own, None] + end[0, own]).masked_fill(~allowed, -torch.inf)
first, last = divmod(int(scores.argmax()), len(own))
answered = scores.max() + model.config.no_answer_threshold >= start[0, 0] + end[0, 0]
context[characters[own[first], 0] : characters[own[last], 1]] if answered else ""
"""
_ONNX = """\
import json, numpy, onnxruntime, tokenizers

folder = {folder}
tokenizer = tokenizers.Tokenizer.from_file(folder + "/tokenizer.json")
session = onnxruntime.InferenceSession(folder + "/model.onnx")
question, context = "Your question", "Your context"
row = tokenizer.encode(question, context)
fields = {{"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}}
feed = {{i.name: numpy.array([getattr(row, fields[i.name])]) for i in session.get_inputs()}}
start, end = (each[0] for each in session.run(["start_logits", "end_logits"], feed))
own = [i for i, text in enumerate(row.sequence_ids) if text == 1]
allowed = numpy.tril(numpy.triu(numpy.ones((len(own), len(own)))), 29)
scores = numpy.where(allowed, start[own, None] + end[own], -numpy.inf)
first, last = divmod(int(scores.argmax()), len(own))
threshold = json.load(open(folder + "/config.json", encoding="utf-8"))["no_answer_threshold"]
answered = scores.max() + threshold >= start[0] + end[0]
context[row.offsets[own[first]][0] : row.offsets[own[last]][1]] if answered else ""
"""


@dataclass(frozen=True)
class Span:
    """The answer to one question."""

    text: str
    """The part of the context; empty for no answer."""
    start: int
    """Its first character."""
    score: float
    """How much higher it scores than no answer: an answer is given from 0 on."""


@dataclass(frozen=True)
class SpanAnswers(Answers):
    """The answers of a question-answering model.

    Outputs have the shape (N, 3, 2), see
    `trainable.metrics.question_answering`; values are `Span`s, shape (N,).
    """

    hub_task: ClassVar[str] = "question-answering"
    heading: ClassVar[str] = "Outputs of each token"
    head: ClassVar[str | None] = "spans"
    note: ClassVar[str] = (
        "These lines read only the beginning of a context that does not fit; `predict` and `transfersweep.classifier` "
        "read all of it, in windows."
    )

    def no_labels(self, columns: Sequence[Sequence[str]]) -> NDArray[Any]:
        """Return labels without an answer, shape (N,)."""
        labels = np.empty(len(columns[1]), dtype=object)
        labels[:] = [{"text": [], "answer_start": [], "context": context} for context in columns[1]]
        return labels

    def compared(self, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the scores; where two spans have nearly the same score, rounding may decide which one is better."""
        return outputs[:, 1]

    def unit(self, outputs: NDArray[np.float32]) -> float:
        """Return the largest score, if that is more than 1."""
        return max(1.0, float(np.abs(outputs[:, 1]).max()))

    def read(self, outputs: NDArray[np.float32], columns: Sequence[Sequence[str]]) -> NDArray[Any]:
        """Return the answers as texts."""
        spans = np.empty(len(outputs), dtype=object)
        for row, (context, numbers) in enumerate(zip(columns[1], outputs.tolist(), strict=True)):
            (begin, end), (score, none), _ = numbers
            text = context[int(begin) : int(end)] if score >= none else ""
            spans[row] = Span(text, int(begin), score - none)
        return spans

    def answer(self, values: Any) -> Span:
        """Return the answer of a row."""
        assert isinstance(values, Span)
        return values

    def columns(self) -> list[str]:
        """Return the columns that `predict` adds."""
        return ["predicted", "score"]

    def cells(self, values: Any) -> tuple[Cell, list[float]]:
        """Return the text of the answer, and its score."""
        return values.text, [values.score]

    def true(self, label: Any) -> str:
        """Return the first of the right answers; empty for no answer."""
        return str(label["text"][0]) if label["text"] else ""

    def does(self, texts: str) -> str:
        """Return the card's first sentence."""
        return "Finds the part of a context that answers a question, or says that there is none."

    def limits(self) -> list[str]:
        """Return sentences for the card on what the answers cannot say."""
        return ["Gives one part of the context, of at most 30 tokens, as it stands there."]

    def own_python(self, folder: str, library: str) -> str:
        """Return Python for the answer to one question."""
        lines = {"transformers": _TRANSFORMERS, "onnx": _ONNX}.get(library, "")
        return lines.format(folder=json.dumps(folder))
