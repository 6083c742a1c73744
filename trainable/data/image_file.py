"""An image of a data set, where it is: a file, or the bytes of one in a table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ImageFile:
    """One image, not decoded."""

    name: str
    """The path as the table or the folder gives it, or what the table says of the bytes; for messages."""
    where: str
    """Table and row, or folder and file, for messages."""
    content: Path | bytes
    digest: str = ""
    """SHA-256 (hex) of the file; empty if it has not been read."""

    def read(self) -> bytes:
        """Return the bytes of the file.

        Raises:
            OSError: if it cannot be read.
        """
        return self.content if isinstance(self.content, bytes) else self.content.read_bytes()
