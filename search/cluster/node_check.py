"""The check of one node of the cluster: its versions, and whether it shares the storage folder.

It runs as a Ray task on every node, so this module imports nothing slow.
"""

from dataclasses import dataclass
from pathlib import Path

from search.provenance import versions


@dataclass(frozen=True)
class NodeReport:
    """The findings of the check on one node."""

    versions: dict[str, str]
    storage: str
    """The problem with the storage folder there; empty if there is none."""


def check_node(folder: str, name: str) -> NodeReport:
    """Check the node on which this runs, and write the file `name` into the folder.

    Args:
        folder: a folder in the storage, made by the driver.
        name: the name of the file to write.
    """
    return NodeReport(versions(), _storage_problem(Path(folder), name))


def _storage_problem(folder: Path, name: str) -> str:
    if not folder.is_dir():
        return "does not see the folder that the driver made there"
    try:
        (folder / name).write_text(name, encoding="utf-8")
    except OSError as error:
        return f"cannot write there ({error.strerror})"
    return ""
