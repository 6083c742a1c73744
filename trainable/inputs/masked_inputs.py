"""Token ids of which some are hidden, for a model that learns to predict them (BERT, Devlin et al. 2019).

Of each text 15 % of the words, at least one, are hidden with all their tokens (whole-word masking). A hidden token
becomes the mask token in 80 % of the cases, a random one in 10 %, and stays as it is in 10 %. Each step hides other
words (RoBERTa, Liu et al. 2019). What is hidden depends only on a seed, the row and the position of the token, so it
does not matter in which part of a batch, on which worker or after which resume a row is read.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from trainable.errors import ConfigError
from trainable.inputs.draws import uniform
from trainable.inputs.split import Inputs, Split
from trainable.model.pretrained import load_tokenizer
from trainable.seeds import seed_of

SHARE = 0.15
"""Share of the words that is hidden."""
MASKED, REPLACED = 0.8, 0.1
"""Shares of the hidden tokens that become the mask token, and a random token."""
_WORD, _ROUNDING, _KIND, _TOKEN = range(4)  # what a random number decides
_STARTS = ("\u0120", "\u2581")  # with these, byte-level BPE and SentencePiece mark the first token of a word


@dataclass(frozen=True)
class MaskRules:
    """What a tokenizer says about its tokens; V is the size of its vocabulary."""

    mask_id: int
    ordinary: NDArray[np.int64]
    """The ids of all tokens that are not special."""
    hideable: NDArray[np.bool_]
    """Whether a token may be hidden, shape (V,): each one that is not special, and the unknown token."""
    continues: NDArray[np.bool_]
    """Whether a token belongs to the word of the token before it, shape (V,)."""


@lru_cache(maxsize=8)
def mask_rules(source: str) -> MaskRules:
    """Return the rules of the tokenizer in a folder or on the hub.

    Raises:
        ConfigError: if it has no mask token.
    """
    tokenizer = load_tokenizer(source)
    if tokenizer.mask_token_id is None:
        raise ConfigError(
            "encoder: its tokenizer has no mask token, which `task: masked_language` needs; choose another encoder"
        )
    special = np.zeros(len(tokenizer), dtype=bool)
    special[tokenizer.all_special_ids] = True
    hideable = ~special
    if tokenizer.unk_token_id is not None:
        hideable[tokenizer.unk_token_id] = True
    tokens = [token or "" for token in tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))]
    return MaskRules(tokenizer.mask_token_id, np.flatnonzero(~special), hideable, continuations(tokens))


def continuations(tokens: list[str]) -> NDArray[np.bool_]:
    """Return which tokens of a vocabulary continue a word, shape (V,); none if it does not mark words."""
    if any(token.startswith("##") for token in tokens):
        return np.array([token.startswith("##") for token in tokens])
    if any(token.startswith(_STARTS) for token in tokens):  # a punctuation mark is a word of its own
        return np.array([not token.startswith(_STARTS) and token[:1].isalnum() for token in tokens])
    return np.zeros(len(tokens), dtype=bool)


@dataclass(frozen=True)
class MaskedInputs:
    """Rows with hidden tokens; see `Inputs`. Without a seed, the same tokens are hidden each time."""

    whole: Inputs
    """The same rows with all tokens."""
    rules: MaskRules

    varies = True
    places = None
    answers = ()

    @property
    def identity(self) -> str:
        """Return the digest of the whole rows."""
        return self.whole.identity

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Return the number of tokens of each row, shape (N,)."""
        return self.whole.lengths

    def used_ids(self) -> None:
        """Return None: any token may take the place of a hidden one."""

    def weights(self, rows: NDArray[np.int64], draw: int | None) -> torch.Tensor:
        """Return the number of hidden tokens of each row, but at least 1, as the batch's mean divides by their sum."""
        return torch.from_numpy(self._hidden(rows, self.whole.batch(rows), draw).sum(1)).clamp(min=1).float()

    def batch(self, rows: NDArray[np.int64], multiple: int = 1, draw: int | None = None) -> dict[str, torch.Tensor]:
        """Return the input of the encoder with hidden tokens, and what was there.

        `hidden_places` are the hidden tokens' numbers in the flattened batch, shape (M,), and `hidden_ids` their ids.
        """
        batch = self.whole.batch(rows, multiple)
        ids, hidden = batch["input_ids"].numpy(), self._hidden(rows, batch, draw)
        replaced = np.where(hidden, self._replacements(rows, batch, draw), ids)
        places, hidden_ids = torch.from_numpy(np.flatnonzero(hidden)), torch.from_numpy(ids[hidden])
        return {**batch, "input_ids": torch.from_numpy(replaced), "hidden_places": places, "hidden_ids": hidden_ids}

    def for_scores(self, rows: NDArray[np.int64], outputs: torch.Tensor) -> torch.Tensor:
        """Return the outputs as they are."""
        return outputs

    def _hidden(self, rows: NDArray[np.int64], batch: dict[str, torch.Tensor], draw: int | None) -> NDArray[np.bool_]:
        """Return which tokens are hidden, shape (B, T): as many of a row's words as `SHARE` says, at least one."""
        ids, columns = batch["input_ids"].numpy(), _columns(batch)
        text = batch["attention_mask"].numpy().astype(bool) & self.rules.hideable[ids]  # (B, T)
        before = np.pad(text, ((0, 0), (1, 0)))[:, :-1]
        begins = text & ~(self.rules.continues[ids] & before)
        words = begins.sum(1)  # (B,)
        up = _uniform(draw, _ROUNDING, rows, np.zeros((len(rows), 1), dtype=np.int64))[:, 0]
        count = np.floor(SHARE * words + up)  # rounded up or down at random, so that the mean is the share
        order = np.where(begins, _uniform(draw, _WORD, rows, columns), np.inf)
        rank = order.argsort(1, kind="stable").argsort(1, kind="stable")
        chosen = begins & (rank < np.maximum(count, 1)[:, None])
        first = np.maximum.accumulate(np.where(begins, np.arange(ids.shape[1]), 0), axis=1)  # of each token's word
        hidden: NDArray[np.bool_] = text & np.take_along_axis(chosen, first, axis=1)
        return hidden

    def _replacements(
        self, rows: NDArray[np.int64], batch: dict[str, torch.Tensor], draw: int | None
    ) -> NDArray[np.int64]:
        """Return what each token becomes if it is hidden, shape (B, T)."""
        ids, columns, rules = batch["input_ids"].numpy(), _columns(batch), self.rules
        kind, place = _uniform(draw, _KIND, rows, columns), _uniform(draw, _TOKEN, rows, columns)
        random = rules.ordinary[(place * len(rules.ordinary)).astype(np.int64)]
        others = np.where(kind < MASKED + REPLACED, random, ids)
        replaced: NDArray[np.int64] = np.where(kind < MASKED, rules.mask_id, others)
        return replaced


def masked(split: Split, rules: MaskRules) -> Split:
    """Return a split whose inputs have hidden tokens."""
    return Split(MaskedInputs(split.inputs, rules), split.labels)


def _columns(batch: dict[str, torch.Tensor]) -> NDArray[np.int64]:
    """Return the place of each token in its row without padding, shape (B, T)."""
    return np.asarray(np.maximum(batch["attention_mask"].numpy().cumsum(1) - 1, 0))


def _uniform(
    draw: int | None, purpose: int, rows: NDArray[np.int64], columns: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return a random number from 0 to 1 for each row (B,) and column (B, T), shape (B, T)."""
    return uniform(seed_of("hidden tokens", draw, purpose), rows, columns)
