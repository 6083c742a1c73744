"""Which of the splits that a folder or hub data set holds is for training, for validation and for the test."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from trainable.errors import ConfigError
from trainable.settings.dataset import LEFT_OUT, Split
from trainable.settings.wording import unknown

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
_ALSO = {
    "train": r"train(ing)?",
    "validation": r"val(id(ation)?)?|dev(el(opment)?)?|eval(uation)?",
    "test": r"test(ing)?",
}
"""Other names for the three; an ending such as `_matched` may follow."""


def choose_saved_splits(
    rows: Mapping[str, int], wanted: Mapping[Split, str], source: str
) -> tuple[dict[Split, str], list[str]]:
    """Choose saved splits.

    Args:
        rows: rows of each saved split, by its name.
        wanted: the names that the settings give for our splits, `none` for one to leave out.
        source: the data set's name; messages begin with it.

    Returns:
        the saved name of each split that there is, and notes on what is not plain.

    Raises:
        ConfigError: where a name that is wanted is not there, or no split for training.
    """
    if strange := [name for name in wanted.values() if name not in rows and name != LEFT_OUT]:
        raise ConfigError([f"{source}: splits: {unknown(name, list(rows), 'split')}" for name in strange])
    for name in {name for name in wanted.values() if name != LEFT_OUT}:
        if len(both := [split for split in wanted if wanted[split] == name]) > 1:
            raise ConfigError(f"{source}: splits: {name!r} is named for {' and '.join(both)}; name different ones")
    chosen = {split: name for split, name in wanted.items() if name != LEFT_OUT}
    notes = []
    for split in (split for split in SPLITS if split not in wanted):
        free = [name for name in rows if name not in chosen.values()]
        found = split if split in free else _only_one(free, split)
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


def _only_one(names: Sequence[str], split: str) -> str | None:
    """The one saved split with another name for ours, or else the one with such a name and an ending."""
    for ending in ("", r"[_\-. ].*"):
        found = [name for name in names if re.fullmatch(f"({_ALSO[split]}){ending}", name, re.IGNORECASE)]
        if found:
            return found[0] if len(found) == 1 else None
    return None
