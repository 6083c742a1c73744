"""The rules of DESIGN that a reviewer would otherwise have to watch: who imports whom, and how long a module is."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("spaces", "trainable", "search", "transfersweep")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))

FORBIDDEN = {
    "spaces": {"torch", "ray", "mlflow", "transformers", "datasets", "trainable", "search", "transfersweep"},
    "trainable": {"optuna", "mlflow", "spaces", "search", "ray", "transfersweep"},
    "search": {"transfersweep"},
    "transfersweep": {"spaces", "torch", "ray", "mlflow", "transformers"},
}
EXCEPTIONS = {"trainable/ray_trainable.py": {"ray"}}
MAX_LINES = 300

each_module = pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(ROOT).as_posix())


def imported(tree: ast.AST) -> Iterator[str]:
    """Top-level names of every import, those inside functions and type-checking blocks included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]


def test_every_package_has_modules() -> None:
    assert {path.relative_to(ROOT).parts[0] for path in MODULES} == set(PACKAGES)


def test_imports_inside_functions_are_seen() -> None:
    assert set(imported(ast.parse("import a.b\ndef f():\n    from c.d import e\n    from . import g"))) == {"a", "c"}


@each_module
def test_imports_follow_the_design(path: Path) -> None:
    name = path.relative_to(ROOT).as_posix()
    forbidden = FORBIDDEN[name.split("/")[0]] - EXCEPTIONS.get(name, set())
    assert forbidden & set(imported(ast.parse(path.read_text()))) == set()


@each_module
def test_modules_can_be_read_in_one_sitting(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MAX_LINES


@each_module
def test_modules_say_what_they_are_for(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text()))


@pytest.mark.parametrize(
    ("package", "unwanted"),
    [("spaces", "torch ray mlflow optuna transformers datasets"), ("trainable", "ray mlflow optuna")],
)
def test_importing_a_package_loads_nothing_it_may_not_know(package: str, unwanted: str) -> None:
    code = f"import sys, {package}; print(*set('{unwanted}'.split()) & set(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == ""
