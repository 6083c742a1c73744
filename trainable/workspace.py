"""Where trials find and keep what they share."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Workspace:
    """Where a trial finds and keeps things that outlive it; deleting it costs time and nothing else."""

    cache: Path
    """Tokens, trained source stages and outputs of frozen layers, shared by all trials."""
    roots: tuple[Path, ...] = (Path(),)
    """Folders in which relative file names of data sets are looked up, in this order."""
    reuse_frozen: bool = True
    """Whether the output of frozen layers is kept and reused; the results agree either way."""
    allowed: frozenset[str] = frozenset()
    """Fingerprints of the encoders, data and tokenizers that trials may use; empty where that is not checked."""

    def allows(self, *fingerprints: str) -> bool:
        """Whether these are all among those that trials may use."""
        return not self.allowed or self.allowed.issuperset(fingerprints)
