"""What a tokenizer makes unreadable: tokens that it does not know, and texts that become the same tokens."""

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
_LOOKED_AT = 1000  # texts with unknown tokens, in which their words are counted
_WORDS = 5


@dataclass(frozen=True)
class TokenizerCheck:
    """How much of the texts of a data set reaches the encoder."""

    unknown: float
    """Share of the tokens, special ones left out, that the tokenizer does not know."""
    merged: float
    """Share of the rows whose tokens are those of a row with another text."""
    words: tuple[str, ...]
    """The most frequent of what the unknown tokens stand for."""

    def warning(self) -> str | None:
        """A sentence from `WARN_FROM` on."""
        if max(self.unknown, self.merged) < WARN_FROM:
            return None
        merged = f"{self.merged:.1%} of the rows become the same tokens as a row with another text"
        if self.unknown < WARN_FROM:
            return (
                f"tokenizer: {merged}: it drops what they differ in, such as case or unknown characters; "
                "choose another encoder if that matters"
            )
        words = ", ".join(map(quoted, self.words))
        return (
            f"tokenizer: {self.unknown:.1%} of the tokens are unknown to it (most often {words}), and {merged}; "
            "choose an encoder that knows the language of the texts"
        )


def check_tokenizer(
    tokenizer: PreTrainedTokenizerBase, tables: Mapping[str, Examples], tokens: Mapping[str, Tokens]
) -> TokenizerCheck:
    """Look at all texts of a data set.

    Args:
        tokenizer: that made the tokens.
        tables: the splits.
        tokens: of each split, uncut.
    """
    ids = [sequence.ids for those in tokens.values() for sequence in those.sequences]
    unknown = sum(int((part == tokenizer.unk_token_id).sum()) for part in ids if tokenizer.unk_token_id is not None)
    return TokenizerCheck(
        unknown / max(1, sum(map(len, ids))),
        _merged(tables, tokens) / max(1, sum(map(len, tables.values()))),
        tuple(_words(tokenizer, tables, tokens)) if unknown else (),
    )


def _merged(tables: Mapping[str, Examples], tokens: Mapping[str, Tokens]) -> int:
    rows: Counter[bytes] = Counter()
    text: dict[bytes, TextPair] = {}
    several: set[bytes] = set()
    for split, table in tables.items():
        for digest, key in zip(_digests(tokens[split]), table.text_pairs(), strict=True):
            rows[digest] += 1
            if text.setdefault(digest, key) != key:
                several.add(digest)
    return sum(rows[digest] for digest in several)


def _digests(tokens: Tokens) -> Iterator[bytes]:
    """A hash of the ids of each row."""
    offsets = [sequence.offsets.tolist() for sequence in tokens.sequences]
    for row in range(len(tokens)):
        digest = blake2b(digest_size=16)
        for sequence, ends in zip(tokens.sequences, offsets, strict=True):
            digest.update((ends[row + 1] - ends[row]).to_bytes(8, "little"))
            digest.update(sequence.ids[ends[row] : ends[row + 1]].tobytes())
        yield digest.digest()


def _words(
    tokenizer: PreTrainedTokenizerBase, tables: Mapping[str, Examples], tokens: Mapping[str, Tokens]
) -> Iterator[str]:
    texts = [text for split, table in tables.items() for text in _with_unknown(tokenizer, table, tokens[split])]
    chosen = texts[:: -(-len(texts) // _LOOKED_AT)]
    encoded = tokenizer(chosen, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    counts = Counter(
        text[start:end].strip()
        for text, ids, spans in zip(chosen, encoded["input_ids"], encoded["offset_mapping"], strict=True)
        for token, (start, end) in zip(ids, spans, strict=True)
        if token == tokenizer.unk_token_id
    )
    yield from (word for word, _ in counts.most_common(_WORDS))


def _with_unknown(tokenizer: PreTrainedTokenizerBase, table: Examples, tokens: Tokens) -> Iterator[str]:
    columns = [table.text] if table.text_b is None else [table.text, table.text_b]
    for column, sequence in zip(columns, tokens.sequences, strict=True):
        places = np.flatnonzero(sequence.ids == tokenizer.unk_token_id)
        rows = np.unique(np.searchsorted(sequence.offsets, places, side="right") - 1)
        yield from (column[row] for row in rows.tolist())
