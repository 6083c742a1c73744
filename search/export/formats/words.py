"""The logits of words from those of tokens, computed with nothing but the encodings of `tokenizers`."""

from collections.abc import Sequence

import numpy as np
import torch
from tokenizers import Encoding

from trainable.inputs.words import first_tokens


def logits_of_words(
    logits: torch.Tensor, encodings: Sequence[Encoding], texts: Sequence[str], most: int
) -> torch.Tensor:
    """Return the logits of words, shape (B, W, C); zeros for a word without a token.

    Args:
        logits: of tokens, shape (B, T, C).
        encodings: of the texts.
        texts: the texts, (B,).
        most: W.
    """
    of_words = torch.zeros(len(texts), most, logits.shape[-1])
    for row, (text, encoding) in enumerate(zip(texts, encodings, strict=True)):
        own = [place for place, sequence in enumerate(encoding.sequence_ids) if sequence == 0]
        spans = np.array([encoding.offsets[place] for place in own], dtype=np.int64).reshape(-1, 2)
        for word, token in enumerate(first_tokens(text, spans).tolist()):
            if token >= 0:
                of_words[row, word] = logits[row, own[token]]
    return of_words
