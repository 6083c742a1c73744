"""Texts with target texts as the input of a model with a decoder, and what it generates as numbers for the scores."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PretrainedConfig, PreTrainedTokenizerBase

from trainable.compute.decoding import IGNORED
from trainable.compute.forward import TARGET_IDS
from trainable.data.examples import Examples
from trainable.errors import ConfigError
from trainable.inputs.batches import padded_width
from trainable.inputs.split import Inputs
from trainable.inputs.tokens import Tokens
from trainable.metrics.sequence_to_sequence import SUMS, statistics
from trainable.model.pretrained import load_tokenizer


@dataclass(frozen=True)
class Targets:
    """The target texts of N rows."""

    tokens: Tokens
    """Of the first correct text of each row."""
    tokenizer: str
    """The folder or hub name of the tokenizer, which also makes texts of ids."""

    def followed_by(self, other: Targets) -> Targets:
        """Return these rows, then those of another table."""
        return replace(self, tokens=self.tokens.followed_by(other.tokens))


def first_targets(table: Examples) -> Examples:
    """Return a table whose texts are the first correct texts of the rows."""
    return Examples([texts[0] for texts in table.labels], None, table.labels, table.strata)


def from_left(tokens: Tokens) -> Tokens:
    """Return tokens that are padded and truncated on the right, as a decoder reads and writes from the left."""
    return replace(tokens, template=replace(tokens.template, pads_left=False, cuts_left=False))


def check_decoder(encoder: str, tokenizer: PreTrainedTokenizerBase, config: PretrainedConfig) -> None:
    """Check that a tokenizer makes target texts for the decoder of a model.

    Raises:
        ConfigError: if it does not end a text as the decoder does, or encodes target texts in another way than texts.
    """
    problems, what = [], f"encoder: {encoder!r}"
    encoded = tokenizer("a")["input_ids"]
    ends = config.eos_token_id if isinstance(config.eos_token_id, list) else [config.eos_token_id]
    if not encoded or encoded[-1] not in ends:
        problems.append(
            f"{what}: its tokenizer does not end a text with the token {config.eos_token_id} at which the decoder "
            "stops; choose another encoder, or add this token to the tokenizer's template"
        )
    if tokenizer(text_target="a")["input_ids"] != encoded:
        problems.append(
            f"{what}: its tokenizer encodes target texts in another way than texts, which is not supported; choose "
            "another encoder"
        )
    if config.decoder_start_token_id is None:
        problems.append(f"{what}: its config.json has no decoder_start_token_id, with which a text begins; add it")
    if problems:
        raise ConfigError(problems)


@dataclass(frozen=True)
class TargetInputs:
    """Rows with target texts; see `Inputs`."""

    texts: Inputs
    """The same rows without target texts."""
    targets: Targets
    rows: NDArray[np.int64]
    """The rows of `targets` that are used, shape (N,)."""
    target_length: int
    """Tokens to which target texts are truncated."""
    references: NDArray[Any]
    """The correct texts of each row, as tuples, shape (N,)."""

    varies = False
    places = None
    answers = ()

    @cached_property
    def identity(self) -> str:
        """Return a digest of texts and target texts."""
        return hashlib.sha256(
            f"{self.texts.identity} {self.targets.tokens.digest(self.rows, self.target_length)}".encode()
        ).hexdigest()

    @cached_property
    def _widths(self) -> NDArray[np.int64]:
        return self.targets.tokens.lengths(self.target_length)[self.rows]

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Return the tokens of text and target text of each row, shape (N,)."""
        return self.texts.lengths + self._widths

    def used_ids(self) -> None:
        """Return None: the model may generate any token."""

    def weights(self, rows: NDArray[np.int64], draw: int | None) -> torch.Tensor:
        """Return the number of target tokens of each row, as the loss of a batch is their mean."""
        return torch.from_numpy(self._widths[rows]).float()

    def batch(self, rows: NDArray[np.int64], multiple: int = 1, draw: int | None = None) -> dict[str, torch.Tensor]:
        """Return the input of the encoder, and the ids of the target texts, shape (B, S)."""
        width = padded_width(self._widths[rows], multiple, self.target_length)
        target = self.targets.tokens.batch(self.rows[rows], self.target_length, width)
        ids = target["input_ids"].masked_fill(target["attention_mask"] == 0, IGNORED)
        return {**self.texts.batch(rows, multiple), TARGET_IDS: ids}

    def for_scores(self, rows: NDArray[np.int64], outputs: torch.Tensor) -> torch.Tensor:
        """Return the numbers from which scores follow (`STATISTICS`), from sums and generated ids."""
        texts = texts_of(self.targets.tokenizer, outputs[:, len(SUMS) :].long())
        references = self.references[rows].tolist()
        numbers = statistics(outputs[:, : len(SUMS)].double().numpy(), texts, references)
        return torch.from_numpy(numbers).float()


def texts_of(tokenizer: str, ids: torch.Tensor) -> Sequence[str]:
    """Return the texts of generated ids, shape (B, S), without special tokens."""
    texts: list[str] = _tokenizer(tokenizer).batch_decode(ids.tolist(), skip_special_tokens=True)
    return texts


@lru_cache(maxsize=4)
def _tokenizer(source: str) -> PreTrainedTokenizerBase:
    return load_tokenizer(source)
