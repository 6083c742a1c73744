"""The environments of contestants of `instead.py` that need other packages than this project."""

import json
import subprocess
import sys
from functools import cache
from pathlib import Path

ENVIRONMENTS = {
    "setfit": ["setfit==1.2.0"],
    "bertuner": ["bertuner==0.2.4"],
    "autointent": ["autointent[catboost,sentence-transformers,transformers]==0.4.0"],
}
TORCH = "torch==2.13.0"  # exact, so that pip takes the same build for all
PACKAGES = ("torch", "transformers", "sentence-transformers", "scikit-learn", "optuna", *ENVIRONMENTS)


@cache
def find_python(name: str | None, folder: Path, install: bool) -> Path | None:
    """Return the interpreter of an environment, which `install` allows to make; None if there is none."""
    if name is None:
        return Path(sys.executable)
    python = folder / name / "bin" / "python"
    if not (folder / name / "complete").exists():
        if not install:
            return None
        print(f"installing {name} into {folder / name}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", folder / name], check=True)
        command = [python, "-m", "pip", "install", "--quiet", TORCH, *ENVIRONMENTS[name]]
        if subprocess.run(command).returncode:
            return None
        (folder / name / "complete").touch()
    return python


@cache
def versions(python: Path) -> dict[str, str]:
    """Return the versions of the packages that matter in an environment."""
    code = (
        "import json, sys; from importlib.metadata import distributions as d; names = set(sys.argv[1:]);"
        "print(json.dumps({x.name: x.version for x in d() if x.name in names}))"
    )
    found = subprocess.run([python, "-c", code, *PACKAGES], check=True, stdout=subprocess.PIPE, text=True).stdout
    return dict(json.loads(found))
