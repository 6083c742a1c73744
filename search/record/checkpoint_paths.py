"""Paths of checkpoints, as the study and the outcome store them."""

import re
from pathlib import Path

_CHECKPOINT = re.compile(r"(?:.*/)?(tune-[^/]+/trial-[^/]+/checkpoint_[^/]+)")


def relative_checkpoint(checkpoint: str | None) -> str | None:
    """Return a stored path relative to the sweep's folder, None if impossible; older versions stored absolute paths."""
    if checkpoint is None or not Path(checkpoint).is_absolute():
        return None if checkpoint is None or ".." in Path(checkpoint).parts else checkpoint
    match = _CHECKPOINT.fullmatch(checkpoint)
    return match[1] if match else None
