"""The best spans of contexts, computed with nothing but a tokenizer and a model of transformers, as its users do."""

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from trainable.model.spans import MOST_TOKENS


def scores_of_spans(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, question: str, context: str
) -> torch.Tensor:
    """Return what a model gives for one question, shape (3, 2); the loss is zero.

    See `trainable.metrics.question_answering`.

    Args:
        model: a question-answering model, with the settings that an export writes into its configuration.
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
        stride=min(most // 3 if model.config.window_stride is None else model.config.window_stride, room - 1),
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
        padding=True,
        return_tensors="pt",
    )
    characters, _ = windows.pop("offset_mapping"), windows.pop("overflow_to_sample_mapping")
    start, end = model(**windows).to_tuple()[:2]
    best, none, span = -torch.inf, torch.inf, (0.0, 0.0)
    for window in range(len(start)):
        first = int(windows["attention_mask"][window].argmax())
        none = min(none, float(start[window, first] + end[window, first]))
        own = [place for place, text in enumerate(windows.sequence_ids(window)) if text == 1]
        for i in own:
            for j in range(i, min(i + MOST_TOKENS, own[-1] + 1)):
                if (score := float(start[window, i] + end[window, j])) > best:
                    best, span = score, (float(characters[window, i, 0]), float(characters[window, j, 1]))
    return torch.tensor([span, (best, none - model.config.no_answer_threshold), (0.0, 0.0)])
