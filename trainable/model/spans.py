"""A question-answering model of transformers that gives the best span of each row instead of logits of tokens.

Each row has one or more windows of its context. The model adds up the losses of its windows, and compares their spans.
"""

from typing import Any

import torch
from torch import nn
from torch.nn import functional
from transformers import PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from trainable.metrics.question_answering import SCORES

MOST_TOKENS = 30
"""Longest answer, in tokens, as in the scripts of BERT and transformers."""
_LOW = -1e4
"""Logit of a token that cannot begin or end an answer."""


def answers_in_spans(model: PreTrainedModel, threshold: float = 0.0) -> None:
    """Let a question-answering model give the numbers that `QuestionAnswering` needs, in the place of logits.

    Args:
        model: the model, changed in place.
        threshold: how much the score of no answer must exceed that of the answer.
    """
    kind = type(model)
    model.__class__ = type(kind.__name__, (InSpans, kind), {"__module__": __name__})
    model.add_module("no_answer", _NoAnswer(threshold))


class _NoAnswer(nn.Module):
    """What is added to the score of no answer: minus the threshold that validation rows have chosen."""

    def __init__(self, threshold: float) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.full((1,), -threshold))


class InSpans(PreTrainedModel):
    """Goes before a class of transformers, whose `forward` it calls."""

    no_answer: _NoAnswer

    def forward(
        self,
        window_rows: torch.Tensor,
        no_answer_at: torch.Tensor,
        characters: torch.Tensor,
        true_spans: torch.Tensor,
        **inputs: torch.Tensor,
    ) -> SequenceClassifierOutput:
        """Return the numbers `SPAN`, `SCORES` and `LOSS` of each row, shape (B, 3, 2); in training only the last.

        Args:
            window_rows: row of each window, ascending, shape (S,).
            no_answer_at: the token of each window that stands for no answer, shape (S,).
            characters: first character of each token of the context, and the one after its last, shape (S, T, 2); -1
                for other tokens.
            true_spans: first and last token of the answer to learn, shape (S, 2).
            inputs: the other inputs of the model, such as `input_ids` of shape (S, T).
        """
        output = super().forward(**inputs)
        logits = torch.stack([output.start_logits, output.end_logits], 1).float()  # (S, 2, T)
        context = characters[:, :, 0] >= 0  # (S, T)
        none = functional.one_hot(no_answer_at, context.shape[1]).bool()
        possible = logits.masked_fill(~(context | none).unsqueeze(1), _LOW)
        losses = functional.cross_entropy(possible.flatten(0, 1), true_spans.flatten(), reduction="none")
        windows = torch.bincount(window_rows)
        loss = torch.segment_reduce(losses.view(-1, 2).mean(1), "sum", lengths=windows, axis=0)
        numbers = [torch.stack([loss, windows.float()], 1)]
        if self.training:
            numbers = [torch.zeros_like(numbers[0])] * 2 + numbers
        else:
            no_answer = (logits * none.unsqueeze(1)).sum((1, 2))
            numbers = [*self._best(logits, context, characters, window_rows, no_answer, len(windows)), *numbers]
        return SequenceClassifierOutput(logits=torch.stack(numbers, 1))

    def _best(
        self,
        logits: torch.Tensor,
        context: torch.Tensor,
        characters: torch.Tensor,
        rows: torch.Tensor,
        no_answer: torch.Tensor,
        count: int,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the characters of each row's best span and its scores, shape (B, 2) each."""
        score, first, last = best_spans(logits.masked_fill(~context.unsqueeze(1), _LOW))
        best = torch.full((count,), -torch.inf, device=score.device).scatter_reduce(0, rows, score, "amax")
        numbers = torch.arange(len(rows), device=rows.device)
        candidates = torch.where(score == best[rows], numbers, len(rows))
        window = torch.full((count,), len(rows), device=rows.device).scatter_reduce(0, rows, candidates, "amin")
        begin, end = characters[window, first[window], 0], characters[window, last[window], 1]
        none = torch.full((count,), torch.inf, device=score.device).scatter_reduce(0, rows, no_answer, "amin")
        scores = torch.stack([best, none + self.no_answer.bias], 1)
        return torch.stack([begin, end], 1).clamp(min=0).float(), scores

    @torch.no_grad()
    def subtract(self, cut: torch.Tensor) -> None:
        """Subtract a cut of the outputs, shape (3, 2), from what the model gives."""
        self.no_answer.bias.sub_(cut[SCORES, 1].to(self.no_answer.bias))


def best_spans(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return score, first and last token of the best span of each window, of at most `MOST_TOKENS` tokens, shape (S,).

    Args:
        logits: of the beginning and the end, shape (S, 2, T).
    """
    begin, end = logits.unbind(1)
    found: list[tuple[torch.Tensor, Any]] = []
    for more in range(min(MOST_TOKENS, begin.shape[1])):
        found.append(torch.max(begin[:, : begin.shape[1] - more] + end[:, more:], dim=1))
    scores, firsts = (torch.stack(each, 1) for each in zip(*found, strict=True))  # (S, MOST_TOKENS)
    score, more_tokens = scores.max(1)
    first = firsts.gather(1, more_tokens.unsqueeze(1))[:, 0]
    return score, first, first + more_tokens
