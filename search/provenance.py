"""Records what a result depends on besides its settings: versions of packages, this project's code, the git commit.

It also runs on every node, so it imports no slow package.
"""

import hashlib
import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

_ON_NODES = ("torch", "transformers", "ray")
_ON_DRIVER = ("torch", "transformers", "datasets", "ray", "optuna", "mlflow")
_SELF = "transfersweep"
_OWN = ("search", "spaces", "trainable", "transfersweep")


def versions() -> dict[str, str]:
    """Return the versions that a result depends on, by name; builds for different devices (`+cpu`) count as equal."""
    found = {name: number.partition("+")[0] for name, number in _installed(_ON_NODES, "missing").items()}
    return found | {"transfersweep": f"code {_code()}"}


def provenance() -> dict[str, str]:
    """Return MLflow tags: the versions that a result depends on, and the git commit of the working folder, if any."""
    tags = {f"version.{name}": number for name, number in _installed((*_ON_DRIVER, _SELF), "none").items()}
    tags[f"version.{_SELF}"] += f", code {_code()}"
    try:
        command = ["git", "rev-parse", "HEAD"]
        git = subprocess.run(command, capture_output=True, encoding="ascii", timeout=10, check=False)
    except OSError:
        return tags
    return tags | ({"mlflow.source.git.commit": git.stdout.strip()} if git.returncode == 0 else {})


def _installed(packages: tuple[str, ...], absent: str) -> dict[str, str]:
    """Return the versions of Python and of packages, by name."""
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = absent
    return found


@cache
def _code() -> str:
    """Return a hash of this project's code, because its version number does not change with every change."""
    digest = hashlib.sha256()
    for package in _OWN:
        spec = find_spec(package)
        for folder in spec.submodule_search_locations or () if spec else ():
            for file in sorted(Path(folder).rglob("*.py")):
                digest.update(file.relative_to(folder).as_posix().encode() + file.read_bytes())
    return digest.hexdigest()[:12]
