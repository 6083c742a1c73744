"""A question-answering model of transformers that gives the best span of each row instead of logits of tokens.

Each row has one or more windows of its context. The model adds up the losses of its windows, and compares their spans.
"""

from typing import Any, NamedTuple

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


class WindowPlaces(NamedTuple):
    """What is known of the S windows of a batch; the names are those of `trainable.inputs.span_inputs`."""

    window_rows: torch.Tensor
    """Row of each window, ascending, shape (S,)."""
    no_answer_at: torch.Tensor
    """The token of each window that stands for no answer, shape (S,)."""
    characters: torch.Tensor
    """First character of each token of the context, and the one after its last, shape (S, T, 2); -1 for others."""
    true_spans: torch.Tensor
    """First and last token of the answer to learn, shape (S, 2)."""

    @property
    def context(self) -> torch.Tensor:
        """Return which tokens belong to the context, shape (S, T)."""
        return self.characters[:, :, 0] >= 0


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

    @property
    def threshold(self) -> float:
        """Return how much the score of no answer must exceed that of the answer."""
        return -float(self.no_answer.bias.detach())

    def token_scores(self, **inputs: torch.Tensor) -> torch.Tensor:
        """Return the score of each token as the beginning and as the end of an answer, shape (S, 2, T)."""
        output = super().forward(**inputs)
        return torch.stack([output.start_logits, output.end_logits], 1).float()

    def forward(self, **inputs: torch.Tensor) -> SequenceClassifierOutput:
        """Return the numbers of each row, see `numbers_of_rows`; in training only `LOSS`.

        Args:
            inputs: the fields of `WindowPlaces`, and the inputs of the class of transformers, such as `input_ids`, of
                shape (S, T).
        """
        windows = WindowPlaces(*(inputs.pop(name) for name in WindowPlaces._fields))
        no_answer = None if self.training else self.no_answer.bias
        return SequenceClassifierOutput(logits=numbers_of_rows(self.token_scores(**inputs), windows, no_answer))

    @torch.no_grad()
    def subtract(self, cut: torch.Tensor) -> None:
        """Subtract a cut of the outputs, shape (3, 2), from what the model gives."""
        self.no_answer.bias.sub_(cut[SCORES, 1].to(self.no_answer.bias))


def numbers_of_rows(
    scores: torch.Tensor, windows: WindowPlaces, no_answer: torch.Tensor | float | None
) -> torch.Tensor:
    """Return the numbers `SPAN`, `SCORES` and `LOSS` of each row, shape (B, 3, 2).

    Args:
        scores: of each token as the beginning and as the end of an answer, shape (S, 2, T).
        windows: of the rows.
        no_answer: what is added to the score of no answer; None: only `LOSS` is computed, the other numbers are zero.
    """
    none = functional.one_hot(windows.no_answer_at, scores.shape[-1]).bool()  # (S, T)
    possible = scores.masked_fill(~(windows.context | none).unsqueeze(1), _LOW)
    losses = functional.cross_entropy(possible.flatten(0, 1), windows.true_spans.flatten(), reduction="none")
    counts = torch.bincount(windows.window_rows)
    loss = torch.segment_reduce(losses.view(-1, 2).mean(1), "sum", lengths=counts, axis=0)
    of_loss = torch.stack([loss, counts.float()], 1)
    if no_answer is None:
        return torch.stack([torch.zeros_like(of_loss), torch.zeros_like(of_loss), of_loss], 1)
    span, best = _best_of_rows(scores, windows, len(counts))
    of_none = torch.full_like(best, torch.inf)
    of_none = of_none.scatter_reduce(0, windows.window_rows, (scores * none.unsqueeze(1)).sum((1, 2)), "amin")
    return torch.stack([span, torch.stack([best, of_none + no_answer], 1), of_loss], 1)


def _best_of_rows(scores: torch.Tensor, windows: WindowPlaces, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the characters of each row's best span, shape (B, 2), and its score, shape (B,)."""
    rows = windows.window_rows
    score, first, last = best_spans(scores.masked_fill(~windows.context.unsqueeze(1), _LOW))
    best = torch.full((count,), -torch.inf, device=score.device).scatter_reduce(0, rows, score, "amax")
    numbers = torch.arange(len(rows), device=rows.device)
    candidates = torch.where(score == best[rows], numbers, len(rows))
    window = torch.full((count,), len(rows), device=rows.device).scatter_reduce(0, rows, candidates, "amin")
    begin = windows.characters[window, first[window], 0]
    end = windows.characters[window, last[window], 1]
    return torch.stack([begin, end], 1).clamp(min=0).float(), best


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
