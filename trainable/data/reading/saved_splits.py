"""Chooses the training, validation and test split from the saved splits of a folder or hub data set."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from trainable.errors import ConfigError
from trainable.settings.dataset import LEFT_OUT, Split
from trainable.settings.mistake_messages import unknown

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
_OTHER_NAMES = {
    "train": r"train(ing)?",
    "validation": r"val(id(ation)?)?|dev(el(opment)?)?|eval(uation)?",
    "test": r"test(ing)?",
}
"""Other names of our splits, as patterns. A suffix such as `_matched` may follow."""


def choose_saved_splits(
    rows: Mapping[str, int], requested: Mapping[Split, str], source: str
) -> tuple[dict[Split, str], list[str]]:
    """Choose a saved split for each of our splits.

    Args:
        rows: number of rows of each saved split, by its name.
        requested: the saved names that the settings give for our splits; `none` leaves a split out.
        source: the data set's name; messages begin with it.

    Returns:
        The saved name of each of our splits, and notes on choices that may surprise.

    Raises:
        ConfigError: if a requested split does not exist, or there is no split for training.
    """
    if missing := [name for name in requested.values() if name not in rows and name != LEFT_OUT]:
        raise ConfigError([f"{source}: splits: {unknown(name, list(rows), 'split')}" for name in missing])
    for name in {name for name in requested.values() if name != LEFT_OUT}:
        if len(both := [split for split in requested if requested[split] == name]) > 1:
            raise ConfigError(f"{source}: splits: {name!r} is named for {' and '.join(both)}; name different ones")
    chosen = {split: name for split, name in requested.items() if name != LEFT_OUT}
    notes = []
    for split in (split for split in SPLITS if split not in requested):
        free = [name for name in rows if name not in chosen.values()]
        found = split if split in free else _split_with_other_name(free, split)
        if found:
            chosen[split] = found
        if found and found != split:
            notes.append(f"{source}: the split {found!r} is used as {split}; `splits: {{{split}: ...}}` names another")
    if "train" not in chosen:
        there = ", ".join(map(repr, rows)) or "none"
        raise ConfigError(f"{source}: there is no split 'train'; there are {there}; name one: `splits: {{train: ...}}`")
    left = [name for name in rows if name not in chosen.values()]
    if left:
        counts = ", ".join(f"{name!r} ({rows[name]} rows)" for name in left)
        notes.append(f"{source}: not used: {counts}; to use one: `splits: {{validation: {left[0]}}}`")
    return chosen, notes


def is_split_name(name: str, split: Split) -> bool:
    """Return whether a saved split has one of the usual names of our split."""
    return re.fullmatch(_OTHER_NAMES[split], name, re.IGNORECASE) is not None


def _split_with_other_name(names: Sequence[str], split: str) -> str | None:
    """Return the only saved split with another name of ours, else the only one with such a name and a suffix."""
    for suffix in ("", r"[_\-. ].*"):
        found = [name for name in names if re.fullmatch(f"({_OTHER_NAMES[split]}){suffix}", name, re.IGNORECASE)]
        if found:
            return found[0] if len(found) == 1 else None
    return None
