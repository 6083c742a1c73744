"""Checks what a tokenizer loses of the texts: unknown tokens, and different texts that become the same tokens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from transformers import PreTrainedTokenizerBase

from trainable.data.examples import Examples, TextPair
from trainable.data.message_text import quoted
from trainable.inputs.tokens import Tokens

WARN_FROM = 0.05
"""Share of unknown tokens, or of merged rows, from which a warning is given."""
_SAMPLED_TEXTS = 1000  # at most this many texts with unknown tokens are searched for the most frequent unknown words
_NAMED_WORDS = 5


@dataclass(frozen=True)
class TokenizerCheck:
    """The part of the texts of a data set that the tokenizer loses."""

    unknown: float
    """Share of the tokens that the tokenizer does not know, 0 to 1; special tokens are not counted."""
    merged: float
    """Share of the rows that have the same tokens as a row with another text, 0 to 1."""
    words: tuple[str, ...]
    """The most frequent words that became unknown tokens."""

    def warning(self) -> str | None:
        """Return a warning in one sentence; None if both shares are below `WARN_FROM`."""
        if max(self.unknown, self.merged) < WARN_FROM:
            return None
        merged = f"{self.merged:.1%} of the rows become the same tokens as a row with another text"
        if self.unknown < WARN_FROM:
            return (
                f"tokenizer: {merged}: the tokenizer drops what distinguishes them, such as case or unknown "
                "characters; choose another encoder if that matters"
            )
        words = ", ".join(map(quoted, self.words))
        return (
            f"tokenizer: {self.unknown:.1%} of the tokens are unknown to it (most often {words}), and {merged}; "
            "choose an encoder that knows the language of the texts"
        )


def check_tokenizer(
    tokenizer: PreTrainedTokenizerBase, tables: Mapping[str, Examples], tokens: Mapping[str, Tokens]
) -> TokenizerCheck:
    """Check all texts of a data set.

    Args:
        tokenizer: the tokenizer that made the tokens.
        tables: the rows of each split.
        tokens: the tokens of each split, not truncated.
    """
    ids = [sequence.ids for split in tokens.values() for sequence in split.sequences]
    unknown = sum(int((part == tokenizer.unk_token_id).sum()) for part in ids if tokenizer.unk_token_id is not None)
    return TokenizerCheck(
        unknown / max(1, sum(map(len, ids))),
        _merged(tables, tokens) / max(1, sum(map(len, tables.values()))),
        tuple(_unknown_words(tokenizer, tables, tokens)) if unknown else (),
    )


def _merged(tables: Mapping[str, Examples], tokens: Mapping[str, Tokens]) -> int:
    """Count the rows that have the same tokens as a row with another text."""
    rows: Counter[bytes] = Counter()
    first_text: dict[bytes, TextPair] = {}
    with_several_texts: set[bytes] = set()
    for split, table in tables.items():
        for digest, key in zip(_digests(tokens[split]), table.text_pairs(), strict=True):
            rows[digest] += 1
            if first_text.setdefault(digest, key) != key:
                with_several_texts.add(digest)
    return sum(rows[digest] for digest in with_several_texts)


def _digests(tokens: Tokens) -> Iterator[bytes]:
    """Yield a hash of the token ids of each row."""
    offsets = [sequence.offsets.tolist() for sequence in tokens.sequences]
    for row in range(len(tokens)):
        digest = blake2b(digest_size=16)
        for sequence, ends in zip(tokens.sequences, offsets, strict=True):
            digest.update((ends[row + 1] - ends[row]).to_bytes(8, "little"))
            digest.update(sequence.ids[ends[row] : ends[row + 1]].tobytes())
        yield digest.digest()


def _unknown_words(
    tokenizer: PreTrainedTokenizerBase, tables: Mapping[str, Examples], tokens: Mapping[str, Tokens]
) -> Iterator[str]:
    """Yield the most frequent words that became unknown tokens, most frequent first."""
    texts = [text for split, table in tables.items() for text in _with_unknown(tokenizer, table, tokens[split])]
    chosen = texts[:: -(-len(texts) // _SAMPLED_TEXTS)]
    encoded = tokenizer(chosen, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    counts = Counter(
        text[start:end].strip()
        for text, ids, spans in zip(chosen, encoded["input_ids"], encoded["offset_mapping"], strict=True)
        for token, (start, end) in zip(ids, spans, strict=True)
        if token == tokenizer.unk_token_id
    )
    yield from (word for word, _ in counts.most_common(_NAMED_WORDS))


def _with_unknown(tokenizer: PreTrainedTokenizerBase, table: Examples, tokens: Tokens) -> Iterator[str]:
    """Yield the texts that have an unknown token."""
    columns = [table.text] if table.text_b is None else [table.text, table.text_b]
    for column, sequence in zip(columns, tokens.sequences, strict=True):
        places = np.flatnonzero(sequence.ids == tokenizer.unk_token_id)
        rows = np.unique(np.searchsorted(sequence.offsets, places, side="right") - 1)
        yield from (column[row] for row in rows.tolist())
