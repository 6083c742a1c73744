"""The setting `pooling`: which tokens of a text the head reads, and what `auto` means for an encoder.

Nothing here imports torch; `trainable.model.pooled` computes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainable.errors import ConfigError
from trainable.hub import read_hub_file
from trainable.model.limits import name_or_path
from trainable.model.pretrained import load_config, reads_images
from trainable.settings.config import TrialConfig

if TYPE_CHECKING:  # it imports torch
    from trainable.tasks.task import Reads

POOLING_FILE = "1_Pooling/config.json"
"""The file in which the folder of a sentence-transformers model says how its tokens are pooled."""
MASKED = ("masked_tokens", "masked_pairs")
"""What heads read that predict hidden tokens."""
PRETRAINED = (*MASKED, "decoder")
"""What heads read that are a part of the pretrained model."""
BI_ENCODER = "bi_encoder"
"""The value of `pooling` for pairs whose texts are encoded apart."""
_MODES = {"cls": "first", "mean": "mean", "max": "max"}
"""Names of sentence-transformers, and what `pooling` calls the same."""
_OLD_KEYS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
"""Keys of the file before sentence-transformers 5, each true or false, and the names of their modes."""


@dataclass(frozen=True)
class Pooling:
    """What `pooling: auto` means for an encoder."""

    mode: str
    """`first`, `mean` or `max`."""
    note: str = ""
    """A sentence if the encoder was trained with a pooling that does not exist here."""
    stated: bool = False
    """Whether the encoder's folder says so."""


def with_pooling(config: TrialConfig) -> TrialConfig:
    """Return the settings with `first`, `mean` or `max` in the place of `pooling: auto`.

    Raises:
        ConfigError: if there is no such encoder, or its file on pooling is damaged.
    """
    return config.model_copy(update={"pooling": resolve_pooling(config.encoder, config.pooling)})


def for_texts(pooling: str, columns: int) -> str:
    """Return the pooling for data with so many text columns: of single texts a bi-encoder reads the mean."""
    return "mean" if pooling == BI_ENCODER and columns == 1 else pooling


def head_kind(reads: Reads, pooling: str) -> str:
    """Return what a head reads: the setting `pooling`, which applies only to a head that reads one vector of a text.

    A kind is `first`, `mean`, `max`, `bi_encoder`, `every_token`, `masked_tokens`, `masked_pairs`, `spans` or
    `decoder`. A choice is read together with its question, so that `bi_encoder` is `mean` there.
    """
    if reads == "choices":
        return for_texts(pooling, 1)
    if reads == "image":
        return "first"
    return pooling if reads == "text" else reads


def resolve_pooling(encoder: str, setting: str) -> str:
    """Return `first`, `mean` or `max` for the setting `pooling`.

    Raises:
        ConfigError: as `auto_pooling`.
    """
    return auto_pooling(encoder).mode if setting == "auto" else setting


@lru_cache
def auto_pooling(encoder: str) -> Pooling:
    """Return the pooling with which an encoder was trained: `first` unless its folder says something else.

    Raises:
        ConfigError: if there is no such encoder, or its file on pooling is damaged.
    """
    source = name_or_path(encoder)
    if not os.path.isdir(source):
        content = read_hub_file(source, POOLING_FILE)
    else:
        file = Path(source, POOLING_FILE)
        content = file.read_bytes() if file.is_file() else None
    if content is None:
        return Pooling("first")
    try:
        modes = _modes(json.loads(content))
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise ConfigError(
            f"encoder: {encoder!r}: its {POOLING_FILE} is damaged; restore it, or set `pooling: first`, `mean` or `max`"
        ) from None
    if len(modes) == 1 and modes[0] in _MODES:
        return Pooling(_MODES[modes[0]], stated=True)
    named = " + ".join(modes)[:80]
    return Pooling(
        "first",
        f"encoder {encoder}: its {POOLING_FILE} names the pooling {named!r}, which does not exist here, so "
        "`pooling: auto` is `first`; `mean` or `max` can be set instead",
    )


def features_pooling(encoder: str, pairs: bool) -> str:
    """Return how the tokens of a frozen encoder are best pooled: as its folder says, else by their mean.

    The texts of a pair are encoded apart: a head on frozen layers cannot learn to compare them (InferSent).

    Args:
        encoder: the setting.
        pairs: whether the rows are pairs of texts.

    Raises:
        ConfigError: if there is no such encoder, or its file on pooling is damaged.
    """
    if reads_images(load_config(name_or_path(encoder))):
        return "first"  # its own head reads the features of the whole image
    if pairs:
        return BI_ENCODER
    pooling = auto_pooling(encoder)
    return pooling.mode if pooling.stated else "mean"


def _modes(content: Mapping[str, Any]) -> list[str]:
    """Return the modes that a file names; several are concatenated. The library's default is the mean."""
    mode = content.get("pooling_mode")
    if mode is not None:
        return [str(name) for name in ([mode] if isinstance(mode, str) else list(mode))]
    return [name for key, name in _OLD_KEYS.items() if content.get(key)] or ["mean"]
