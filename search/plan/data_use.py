"""A use of data by a stage, as a value and in the form that `plan.json` stores."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple


class DataUse(NamedTuple):
    """A data set as one stage of a trial reads it with one tokenizer."""

    stage: str
    """The dotted name of the stage, such as `source` or `target`."""
    name: str
    """Name of the data set; it may contain spaces."""
    fingerprint: str
    """SHA-256 (hex) of data and tokenizer."""


def to_stored(uses: Iterable[DataUse]) -> dict[str, str]:
    """Return the uses as `plan.json` stores them: `stage name first-8-digits` and the whole fingerprint."""
    return {f"{use.stage} {use.name} {use.fingerprint[:8]}": use.fingerprint for use in uses}


def from_stored(stored: Mapping[str, str]) -> list[DataUse]:
    """Read what `to_stored` returned."""
    parts = [(key.rpartition(" ")[0].partition(" "), fingerprint) for key, fingerprint in stored.items()]
    return [DataUse(stage, name, fingerprint) for (stage, _, name), fingerprint in parts]
