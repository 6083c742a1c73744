"""Texts as token ids: tokenised once without special tokens, later truncated and padded for any padding length.

The result equals `tokenizer(text, text_b, truncation=True, max_length=..., padding=...)`. Shapes: N rows of the table,
B rows of a batch, T tokens of the longest row in the batch.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from trainable.data.examples import Examples
from trainable.errors import ConfigError
from trainable.inputs.ragged import Ragged
from trainable.inputs.token_inputs import TokenInputs
from trainable.settings.stage import Stage

_CHUNK = 4096  # texts tokenised at a time: Python lists of all ids would take much memory
_NO_LIMIT = 2**40  # tokens, more than any row has
_COMPARED_ROWS = 24  # rows whose encoding here is compared with the tokenizer's own


@dataclass(frozen=True)
class Piece:
    """One part of an encoded row: a special token, or the tokens of a text."""

    token: int | None
    """The id of the special token; None for the tokens of a text."""
    sequence: int
    """The number of the text, 0 or 1; only used if `token` is None."""
    kind: int
    """The token type id of this part."""


@dataclass(frozen=True)
class Template:
    """The special tokens that a tokenizer puts around one text or a pair, and its sides for padding and truncation."""

    pieces: tuple[Piece, ...]
    pad_id: int
    pad_kind: int
    has_kinds: bool
    """Whether the tokenizer gives `token_type_ids`."""
    pads_left: bool
    cuts_left: bool

    @property
    def specials(self) -> int:
        """Return the number of special tokens in every row."""
        return sum(piece.token is not None for piece in self.pieces)


@dataclass(frozen=True)
class Tokens:
    """The ids of N texts or pairs of texts, without special tokens."""

    sequences: tuple[Ragged, ...]
    """One for single texts, two for pairs."""
    template: Template

    def __len__(self) -> int:
        """Return N."""
        return len(self.sequences[0].offsets) - 1

    @property
    def answers(self) -> tuple[int, ...]:
        """Return the shape of a row's answers: () for one, (W,) for W of them."""
        return ()

    def inputs(self, rows: NDArray[np.int64], stage: Stage) -> TokenInputs:
        """Return rows as the input of a stage."""
        return TokenInputs(self, rows, stage.padding_length, stage.padding == "fixed")

    def longest(self) -> int:
        """Return the number of tokens of the longest row, not truncated."""
        return int(self.lengths(_NO_LIMIT).max())

    def keys(self) -> list[tuple[str, str | None]]:
        """Return a pair of strings for each row; rows with equal tokens have equal pairs."""
        columns = [[ids.tobytes().hex() for ids in np.split(r.ids, r.offsets[1:-1])] for r in self.sequences]
        return [(row[0], row[1] if len(row) > 1 else None) for row in zip(*columns, strict=True)]

    def lengths(self, padding_length: int) -> NDArray[np.int64]:
        """Return the tokens of every row, shape (N,), special ones included, after truncation to `padding_length`."""
        cut = self._cut(np.arange(len(self)), padding_length)  # (sequences, N)
        return np.asarray(cut.sum(axis=0) + self.template.specials, dtype=np.int64)

    def widths(self, padding_length: int) -> NDArray[np.int64]:
        """Return the tokens of every row's longest sequence, shape (N,): the width that a batch of it needs."""
        return self.lengths(padding_length)

    def batch(self, rows: NDArray[np.int64], padding_length: int, width: int | None = None) -> dict[str, torch.Tensor]:
        """Return rows as the input of the encoder.

        Args:
            rows: row numbers from 0, shape (B,).
            padding_length: tokens to which a row is truncated.
            width: T, at least the length of the longest row, which is the default.

        Returns:
            `input_ids`, `attention_mask` and, if the tokenizer gives them, `token_type_ids`: int64, shape (B, T).
        """
        cut = self._cut(rows, padding_length)  # (sequences, B)
        totals = cut.sum(axis=0) + self.template.specials  # (B,)
        width = int(totals.max(initial=0)) if width is None else width
        ids = np.full((len(rows), width), self.template.pad_id, dtype=np.int64)
        kinds = np.full_like(ids, self.template.pad_kind)
        column = np.arange(width)[None, :]  # (1, T)
        begin = width - totals if self.template.pads_left else np.zeros_like(totals)
        mask = (column >= begin[:, None]) & (column < (begin + totals)[:, None])  # (B, T)
        for piece in self.template.pieces:
            if piece.token is not None:
                at = np.arange(len(rows)), begin
                ids[at], kinds[at] = piece.token, piece.kind
                begin = begin + 1
                continue
            length = cut[piece.sequence]
            inside = (column >= begin[:, None]) & (column < (begin + length)[:, None])
            ids[inside] = self._slices(piece.sequence, rows, length)
            kinds[inside] = piece.kind
            begin = begin + length
        arrays = {"input_ids": ids, "attention_mask": mask.astype(np.int64)}
        if self.template.has_kinds:
            arrays["token_type_ids"] = kinds
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    def used_ids(self, rows: NDArray[np.int64], padding_length: int) -> NDArray[np.int64]:
        """Return the ids that occur in these rows, ascending, with special tokens and padding."""
        cut = self._cut(rows, padding_length)
        texts = [self._slices(sequence, rows, length) for sequence, length in enumerate(cut)]
        frame = [piece.token for piece in self.template.pieces if piece.token is not None]
        return np.unique(np.concatenate([*texts, [self.template.pad_id, *frame]])).astype(np.int64)

    def digest(self, rows: NDArray[np.int64], padding_length: int) -> str:
        """Return the SHA-256 (hex) of these rows' ids, in order, after truncation and without special tokens."""
        cut = self._cut(rows, padding_length)
        digest = hashlib.sha256(cut.tobytes())
        for sequence, length in enumerate(cut):
            digest.update(self._slices(sequence, rows, length).tobytes())
        return digest.hexdigest()

    def places(self, rows: NDArray[np.int64], padding_length: int) -> NDArray[np.int64] | None:
        """Return None: these rows have one answer each. See `trainable.inputs.words`."""
        return None

    def followed_by(self, other: Tokens) -> Tokens:
        """Return these rows, then those of another table with the same template."""
        sequences = tuple(map(_joined, self.sequences, other.sequences))
        return replace(self, sequences=sequences)

    def _slices(self, sequence: int, rows: NDArray[np.int64], length: NDArray[np.int64]) -> NDArray[np.int32]:
        """Return the first `length` ids of each row's text, concatenated; the last ones if the left side is cut."""
        ragged = self.sequences[sequence]
        start = ragged.offsets[rows + 1] - length if self.template.cuts_left else ragged.offsets[rows]
        return ragged.parts(start, length).ids

    def _cut(self, rows: NDArray[np.int64], padding_length: int) -> NDArray[np.int64]:
        """Return how many ids of each text are kept after truncation, shape (sequences, B)."""
        room = padding_length - self.template.specials
        if room < 0:
            raise ConfigError(
                f"padding_length: {padding_length} is less than the {self.template.specials} special "
                "tokens of every row; raise it"
            )
        whole = np.stack([ragged.offsets[rows + 1] - ragged.offsets[rows] for ragged in self.sequences])
        return np.minimum(whole, room) if len(whole) == 1 else _longest_first(whole, room)


def _joined(first: Ragged, second: Ragged) -> Ragged:
    offsets = [first.offsets, second.offsets[1:] + first.offsets[-1]]
    return Ragged(np.concatenate([first.ids, second.ids]), np.concatenate(offsets))


def _longest_first(whole: NDArray[np.int64], room: int) -> NDArray[np.int64]:
    """Return the lengths of pairs after `truncation=True`, shape (2, B), rounded as the `tokenizers` library does."""
    short, long = whole.min(axis=0), whole.max(axis=0)
    halves = short > room - short  # both texts are cut; the longer one keeps the odd token
    new_short = np.where(halves, room // 2, short)
    new_long = np.where(halves, room // 2 + room % 2, room - short)
    first_longer = whole[0] > whole[1]
    cut = np.stack([np.where(first_longer, new_long, new_short), np.where(first_longer, new_short, new_long)])
    return np.where(short + long > room, cut, whole)


def tokenize(tokenizer: PreTrainedTokenizerBase, table: Examples) -> Tokens:
    """Tokenise a table once, for all padding lengths; the two texts of a pair are one sequence.

    Raises:
        ConfigError: if the tokenizer cannot pad, or does more than adding special tokens around the texts.
    """
    columns = [table.text] if table.text_b is None else [table.text, table.text_b]
    template = template_of(tokenizer, len(columns))
    tokens = Tokens(tuple(token_ids(tokenizer, column) for column in columns), template)
    check_not_empty(tokens)
    check_encoding(tokenizer, table, tokens)
    return tokens


def check_not_empty(tokens: Tokens) -> None:
    """Refuse rows without any token: attention over no token gives nan."""
    if empty := int((tokens.lengths(_NO_LIMIT) == 0).sum()):
        raise ConfigError(
            f"encoder: its tokenizer makes no token of {empty} row{'' if empty == 1 else 's'} and adds no special "
            "ones; remove these rows (`empty: drop` if their text is empty), or choose another encoder"
        )


def token_ids(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> Ragged:
    """Return the ids of texts without special tokens."""
    chunks, lengths = [np.zeros(0, dtype=np.int32)], [0]
    for start in range(0, len(texts), _CHUNK):
        encoded = tokenizer(
            texts[start : start + _CHUNK],
            add_special_tokens=False,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )["input_ids"]
        lengths += [len(ids) for ids in encoded]
        chunks.append(np.array([token for ids in encoded for token in ids], dtype=np.int32))
    return Ragged(np.concatenate(chunks), np.cumsum(lengths, dtype=np.int64))


def template_of(tokenizer: PreTrainedTokenizerBase, sequences: int) -> Template:
    """Find the special tokens by encoding one letter, or a pair of letters."""
    if not tokenizer.is_fast:
        raise ConfigError(
            f"encoder: its tokenizer ({type(tokenizer).__name__}) is not from the `tokenizers` "
            "library; choose an encoder with a tokenizer.json"
        )
    if tokenizer.pad_token_id is None:
        raise ConfigError("encoder: its tokenizer has no padding token; choose another encoder")
    encoded = tokenizer(*["a"] * sequences, return_token_type_ids=True)
    kinds = encoded["token_type_ids"]
    places = zip(encoded.sequence_ids(0), encoded["input_ids"], kinds, strict=True)
    pieces = [
        piece
        for sequence, run in groupby(places, key=lambda place: place[0])
        for piece in (
            [Piece(token, 0, kind) for _, token, kind in run]
            if sequence is None
            else [Piece(None, sequence, next(run)[2])]
        )
    ]
    return Template(
        pieces=tuple(pieces),
        pad_id=int(tokenizer.pad_token_id),
        pad_kind=int(tokenizer.pad_token_type_id),
        has_kinds="token_type_ids" in tokenizer.model_input_names,
        pads_left=tokenizer.padding_side == "left",
        cuts_left=tokenizer.truncation_side == "left",
    )


def check_encoding(tokenizer: PreTrainedTokenizerBase, table: Examples, tokens: Tokens) -> None:
    """Refuse a tokenizer whose own encoding of the first rows differs from the one made here.

    Raises:
        ConfigError: if it does.
    """
    rows = np.arange(min(_COMPARED_ROWS, len(table)))
    texts: list[Any] = [column[: len(rows)] for column in (table.text, table.text_b) if column is not None]
    fewest = tokens.template.specials + 1
    for length in (fewest, fewest + 4, 64) if len(rows) else ():
        theirs = tokenizer(*texts, truncation=True, max_length=length, padding="longest", verbose=False)
        ours = tokens.batch(rows, length)
        for name, tensor in ours.items():
            if tensor.tolist() != theirs[name]:
                raise ConfigError(
                    f"encoder: its tokenizer ({type(tokenizer).__name__}) adds special tokens or truncates "
                    f"in a way that is not supported ({name} differ at padding_length {length}); "
                    "choose another encoder"
                )
