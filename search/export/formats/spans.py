"""The best spans of contexts, computed with nothing but a tokenizer and the scores of tokens, as other tools do."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from transformers import BatchEncoding, PreTrainedConfig, PreTrainedTokenizerBase

from trainable.data.examples import Examples
from trainable.model.pretrained import load_config, load_tokenizer
from trainable.model.spans import MOST_TOKENS

TokenScores = Callable[[BatchEncoding], Sequence[torch.Tensor]]
"""Returns the scores of the tokens of windows as the beginning and as the end of an answer, shape (S, T) each."""


def scores_of_contexts(token_scores: TokenScores, folder: Path, table: Examples) -> torch.Tensor:
    """Return what a folder gives for questions and contexts with its tokenizer, shape (N, 3, 2); the losses are zero.

    See `trainable.metrics.question_answering`.

    Args:
        token_scores: of the folder's model.
        folder: with tokenizer and configuration.
        table: questions and contexts.
    """
    assert table.text_b is not None  # the contexts
    config, tokenizer = load_config(str(folder)), load_tokenizer(str(folder))
    pairs = zip(table.text, table.text_b, strict=True)
    return torch.stack([_scores_of_spans(token_scores, config, tokenizer, *pair) for pair in pairs])


def _scores_of_spans(
    token_scores: TokenScores,
    config: PreTrainedConfig,
    tokenizer: PreTrainedTokenizerBase,
    question: str,
    context: str,
) -> torch.Tensor:
    """Return what a model gives for one question, shape (3, 2).

    Args:
        token_scores: of the model.
        config: of the model, with what an export writes into it.
        tokenizer: of the export; its `model_max_length` is the length of a window.
        question: the question; a part beyond half of a window is cut.
        context: the context.
    """
    most, length = tokenizer.model_max_length, tokenizer.num_special_tokens_to_add(pair=True)
    ends = tokenizer(question, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    if len(ends) > (half := (most - length) // 2):
        question = question[: ends[half - 1][1]]
    room = most - length - min(len(ends), half)
    windows = tokenizer(
        question,
        context,
        truncation="only_second",
        stride=min(most // 3 if config.window_stride is None else config.window_stride, room - 1),
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
        padding=True,
        return_tensors="pt",
    )
    characters, _ = windows.pop("offset_mapping"), windows.pop("overflow_to_sample_mapping")
    start, end = token_scores(windows)
    best, none, span = -torch.inf, torch.inf, (0.0, 0.0)
    for window in range(len(start)):
        first = int(windows["attention_mask"][window].argmax())
        none = min(none, float(start[window, first] + end[window, first]))
        own = [place for place, text in enumerate(windows.sequence_ids(window)) if text == 1]
        for i in own:
            for j in range(i, min(i + MOST_TOKENS, own[-1] + 1)):
                if (score := float(start[window, i] + end[window, j])) > best:
                    best, span = score, (float(characters[window, i, 0]), float(characters[window, j, 1]))
    return torch.tensor([span, (best, none - config.no_answer_threshold), (0.0, 0.0)])
