"""What a node of the cluster says of itself: its versions, and whether it shares the storage folder.

Runs as a Ray task on every node, so it imports nothing that takes long.
"""

import hashlib
import platform
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

PACKAGES = ("torch", "transformers", "ray")
OWN = ("search", "spaces", "trainable", "transfersweep")


@dataclass(frozen=True)
class Node:
    """The answer of one node."""

    versions: dict[str, str]
    storage: str
    """What is wrong with the storage folder there; empty if nothing."""


def probe(folder: str, name: str) -> Node:
    """Look at the node that this runs on, and leave the file `name` in the folder.

    Args:
        folder: in the storage, made by the driver.
        name: of the file to write.
    """
    return Node(versions(), _storage_trouble(Path(folder), name))


def _storage_trouble(folder: Path, name: str) -> str:
    if not folder.is_dir():
        return "does not see what the driver writes there"
    try:
        (folder / name).write_text(name, encoding="utf-8")
    except OSError as error:
        return f"cannot write there ({error.strerror})"
    return ""


def versions() -> dict[str, str]:
    """Versions of what decides a result, by name; builds for different devices (`+cpu`) count as the same."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package).partition("+")[0]
        except PackageNotFoundError:
            found[package] = "missing"
    return found | {"transfersweep": f"code {_code()}"}


@cache
def _code() -> str:
    """A hash of this project's code: its version number stands still between two changes."""
    digest = hashlib.sha256()
    for package in OWN:
        spec = find_spec(package)
        for folder in spec.submodule_search_locations or () if spec else ():
            for file in sorted(Path(folder).rglob("*.py")):
                digest.update(file.relative_to(folder).as_posix().encode() + file.read_bytes())
    return digest.hexdigest()[:12]
