"""Which data a stage of a sweep's trials may use, as a value, and as the text that a sweep's plan keeps on disk."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple


class DataUse(NamedTuple):
    """A data set, read by one tokenizer, in one of the stages of a trial."""

    stage: str
    """`source` or `target`."""
    name: str
    """Of the data set; it may hold blanks."""
    fingerprint: str
    """SHA-256 (hex) over data and tokenizer."""


def to_stored(uses: Iterable[DataUse]) -> dict[str, str]:
    """As a sweep's plan keeps them: stage, name and the fingerprint's first digits, and the whole fingerprint."""
    return {f"{use.stage} {use.name} {use.fingerprint[:8]}": use.fingerprint for use in uses}


def from_stored(stored: Mapping[str, str]) -> list[DataUse]:
    """Read what `to_stored` wrote."""
    parts = [(key.rpartition(" ")[0].partition(" "), fingerprint) for key, fingerprint in stored.items()]
    return [DataUse(stage, name, fingerprint) for (stage, _, name), fingerprint in parts]
