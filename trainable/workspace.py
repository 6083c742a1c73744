"""The folders that trials share: the cache, and the folders of data files."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Workspace:
    """The cache and data folders of a trial. The cache outlives the trial; deleting it only costs time."""

    cache: Path
    """Tokens, trained source stages and outputs of frozen layers, shared by all trials."""
    roots: tuple[Path, ...] = (Path(),)
    """Folders in which relative file names of data sets are looked up, in this order."""
    reuse_frozen: bool = True
    """Whether the output of frozen layers is cached and reused; the results are the same either way."""
    allowed: frozenset[str] = frozenset()
    """Fingerprints of the encoders, data and tokenizers that trials may use; empty means that any are allowed."""

    def allows(self, *fingerprints: str) -> bool:
        """Return whether trials may use everything with these fingerprints."""
        return not self.allowed or self.allowed.issuperset(fingerprints)
