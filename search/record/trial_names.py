"""Keys of a sweep's trials, and the names of their MLflow runs and folders."""

from collections.abc import Mapping
from typing import Literal

from trainable.settings.values import Params

Role = Literal["search", "confirm", "no_source", "refit", "labels"]
"""`confirm` repeats a finalist with another seed; `no_source` repeats the winner without a source; `refit` trains the
winner on all rows; `labels` trains the best settings on a number of rows of the labels curve."""
ONLY_MEASURED: tuple[Role, ...] = ("no_source", "labels")
"""Roles of trials whose scores are compared and whose models nobody needs."""
TRAIN_ROWS = "target.train_rows"
"""The setting that a trial with the role `labels` changes."""
Key = int | str
"""Identifies a trial within its sweep: a search trial by its number, as 6; a repeat also by its seed, as 6.seed-2."""


def key_of(number: int, role: Role, seed: int, changes: Params | None = None) -> Key:
    """Return the key of a search trial or of a repeat; no two have the same number, role, seed and changes."""
    if role == "labels":
        return f"{number}.{_changed(changes or {}).replace(' ', '-')}.seed-{seed}"
    keys: dict[Role, Key] = {
        "search": number,
        "confirm": f"{number}.seed-{seed}",
        "no_source": f"{number}.no-source.seed-{seed}",
        "refit": f"{number}.all-rows.seed-{seed}",
    }
    return keys[role]


def title_of(number: int, role: Role, seed: int, changes: Params) -> str:
    """Return the name of a trial in texts: `trial 6`, or `trial 6, seed 2` for a repeat."""
    kinds = {"no_source": " without its source", "refit": " on all rows"}
    kind = f" on {_changed(changes)}" if role == "labels" else kinds.get(role, "")
    return f"trial {number}{kind}" + ("" if role == "search" else f", seed {seed}")


def _changed(changes: Params) -> str:
    """Return what a trial of the labels curve changes, as `16 rows without its source`."""
    rows = changes[TRAIN_ROWS]
    words = f"{rows['per_class']} rows of each class" if isinstance(rows, Mapping) else f"{rows} rows"
    return words + (" without its source" if len(changes) > 1 else "")


def trial_name(key: Key) -> str:
    """Return the name of a trial's MLflow run, also the beginning of its folder's name."""
    number, dot, repeat = str(key).partition(".")
    return f"trial-{int(number):03d}{dot}{repeat}"
