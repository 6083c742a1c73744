"""What a node of the cluster says of itself: its versions, and whether it shares the storage folder.

Runs as a Ray task on every node, so it imports nothing that takes long.
"""

from dataclasses import dataclass
from pathlib import Path

from search.provenance import versions


@dataclass(frozen=True)
class NodeReport:
    """The answer of one node."""

    versions: dict[str, str]
    storage: str
    """What is wrong with the storage folder there; empty if nothing."""


def check_node(folder: str, name: str) -> NodeReport:
    """Look at the node that this runs on, and leave the file `name` in the folder.

    Args:
        folder: in the storage, made by the driver.
        name: of the file to write.
    """
    return NodeReport(versions(), _storage_trouble(Path(folder), name))


def _storage_trouble(folder: Path, name: str) -> str:
    if not folder.is_dir():
        return "does not see what the driver writes there"
    try:
        (folder / name).write_text(name, encoding="utf-8")
    except OSError as error:
        return f"cannot write there ({error.strerror})"
    return ""
