"""Texts as an exported model reads them: its tokens, and the answers that a folder gives for each text or choice."""

from collections.abc import Callable

import torch
from transformers import PreTrainedTokenizerBase

from trainable.answers.answer import Answers
from trainable.data.examples import Examples
from trainable.inputs.choices import pairs_of, tokenize_choices
from trainable.inputs.tokens import Tokens
from trainable.inputs.tokens_apart import tokenize_for
from trainable.inputs.windows import tokenize_contexts
from trainable.inputs.words import with_words


def tokens_for(answers: Answers, pooling: str, tokenizer: PreTrainedTokenizerBase, table: Examples) -> Tokens:
    """Return the tokens of texts as a model with these answers reads them; labels as `Answers.no_labels` gives them."""
    if answers.lists_choices:
        return tokenize_choices(tokenizer, table)
    if answers.head == "spans":
        return tokenize_contexts(tokenizer, table)
    tokens = tokenize_for(pooling, tokenizer, table)
    return with_words(tokens, tokenizer, table) if answers.head == "every_token" else tokens


def logits_of_rows(answers: Answers, logits_of: Callable[[Examples], torch.Tensor], table: Examples) -> torch.Tensor:
    """Return the logits of rows; of rows with choices, those of each pair of question and choice.

    Args:
        answers: what the model gives.
        logits_of: gives the logits of texts or of pairs of texts.
        table: the rows.

    Returns:
        What `logits_of` gives, or the shape (N, K, C) with zeros in place of missing choices.
    """
    if not answers.lists_choices:
        return logits_of(table)
    of_pairs = logits_of(pairs_of(table))
    logits = torch.zeros(*table.labels.shape, of_pairs.shape[-1])
    logits[torch.from_numpy(table.labels >= 0)] = of_pairs
    return logits
