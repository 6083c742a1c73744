"""What the trials of a sweep are called, wherever they have a name."""

from typing import Literal

Role = Literal["search", "confirm", "no_source"]
Key = int | str
"""What tells a sweep's trials apart: the number of a searched one, as 6; of a repeat, its seed as well, as 6.seed-2."""


def key_of(number: int, role: Role, seed: int) -> Key:
    """The key of a trial of the search, or of a repeat of it: no two have the same number, role and seed."""
    keys: dict[Role, Key] = {
        "search": number,
        "confirm": f"{number}.seed-{seed}",
        "no_source": f"{number}.no-source.seed-{seed}",
    }
    return keys[role]


def trial_name(key: Key) -> str:
    """What a trial's MLflow run is called, and how its folder's name begins."""
    number, dot, repeat = str(key).partition(".")
    return f"trial-{int(number):03d}{dot}{repeat}"
