"""Keys of a sweep's trials, and the names of their MLflow runs and folders."""

from typing import Literal

Role = Literal["search", "confirm", "no_source", "refit"]
"""`confirm` repeats a finalist with another seed; `no_source` repeats the winner without a source; `refit` trains the
winner on all rows."""
Key = int | str
"""Identifies a trial within its sweep: a search trial by its number, as 6; a repeat also by its seed, as 6.seed-2."""


def key_of(number: int, role: Role, seed: int) -> Key:
    """Return the key of a search trial or of a repeat; no two trials have the same number, role and seed."""
    keys: dict[Role, Key] = {
        "search": number,
        "confirm": f"{number}.seed-{seed}",
        "no_source": f"{number}.no-source.seed-{seed}",
        "refit": f"{number}.all-rows.seed-{seed}",
    }
    return keys[role]


def trial_name(key: Key) -> str:
    """Return the name of a trial's MLflow run, also the beginning of its folder's name."""
    number, dot, repeat = str(key).partition(".")
    return f"trial-{int(number):03d}{dot}{repeat}"
