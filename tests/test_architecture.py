"""Checks rules of the design that a reviewer would otherwise have to check: imports, types, and lengths of modules."""

import ast
import re
import subprocess
import sys
import tomllib
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
WITH_RAY = "trainable/workers/"
RAY_INTERNALS = "search/cluster/ray_internals.py"
NOT_DOCUMENTED = (  # patterns of names that Ray does not document; exceptions are in MAY_USE
    r"ray\._private|_raylet|_global_node|/ray\.rpc|class_cache|_ExperimentCheckpointManager|temporary_state"
    r"|stub=True|\.max_failures|\.get_error\(|error_file|run_metadata|__internal|\bRAY_[a-z]\w+|_node_ip_address|_temp_dir|ENABLE_RAY_CLUSTER"
    r"|SHOULD_CHECKPOINT|_time_total"
)
MAY_USE = {"trainable/workers/actor.py": {"SHOULD_CHECKPOINT", "_time_total"}}
"""A trainable may return `SHOULD_CHECKPOINT`; `_time_total` is its own time, summed over all its processes."""
MLFLOW_INTERNALS = "search/tracking/mlflow_internals.py"
MLFLOW_DOCUMENTS = {
    *("mlflow", "mlflow.entities", "mlflow.environment_variables", "mlflow.exceptions", "mlflow.types"),
    *("mlflow.models", "mlflow.pyfunc"),
}
MAX_LINES = 300
DISTRIBUTIONS = {"yaml": "pyyaml", "grpc": "grpcio", "pydantic_core": "pydantic", "annotated_types": "pydantic"}
DISTRIBUTIONS |= {"pynvml": "nvidia-ml-py", "sklearn": "scikit-learn", "PIL": "pillow"}
"""Distribution by name of its package, if the names differ."""

# Folders and modules of each package, lowest layer first: each may import only those before it.
ORDER: dict[str, str | None] = {
    "spaces": None,
    "trainable": (
        "errors clock deadline seeds workspace hub metrics settings store compute data answers tasks progress model "
        "inputs loop stages checkpoint trial baselines ranking preview workers __main__ __init__"
    ),
    "search": (
        "redaction provenance errors redirect_output streams wording check record storage plan propose ranking startup "
        "cluster study tracking show advice report init preflight engine export serve jobs api commands "
        "__main__ __init__"
    ),
    "transfersweep": None,
}

each_module = pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(ROOT).as_posix())


def imported(tree: ast.AST) -> Iterator[str]:
    """Yield the top-level name of every import, also inside functions and type-checking blocks."""
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
    forbidden = FORBIDDEN[name.split("/")[0]] - ({"ray"} if name.startswith(WITH_RAY) else set())
    assert forbidden & set(imported(ast.parse(path.read_text()))) == set()


def lines_without_encoding(tree: ast.AST) -> Iterator[int]:
    """Yield lines that open text without an encoding, which would use the encoding of the user's console."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or any(keyword.arg in {"encoding", None} for keyword in node.keywords):
            continue
        name = ast.unparse(node.func).rpartition(".")[2]
        words = [a.value for a in [*node.args, *(k.value for k in node.keywords)] if isinstance(a, ast.Constant)]
        modes = [word for word in words if isinstance(word, str) and set(word) <= set("rwaxbt+")]
        opens = name in {"open", "fdopen", "NamedTemporaryFile"} and not any("b" in mode for mode in modes)
        opens &= bool(modes) or isinstance(node.func, ast.Name)  # an object with a method `open` may be no file
        as_text = any(k.arg == "text" and ast.unparse(k.value) == "True" for k in node.keywords)
        if name in {"read_text", "write_text"} or opens or as_text:
            yield node.lineno


def test_text_without_an_encoding_is_seen() -> None:
    lines = ["open(p)", "p.open('w')", "p.read_text()", "os.fdopen(3, 'w')", "run(c, text=True)"]
    fine = ["p.open('rb')", "open(p, encoding='utf-8')", "p.write_text(t, encoding='utf-8')", "os.open(p, flags)"]
    assert list(lines_without_encoding(ast.parse("\n".join(lines + fine)))) == [1, 2, 3, 4, 5]


@each_module
def test_text_is_read_and_written_in_a_named_encoding(path: Path) -> None:
    assert list(lines_without_encoding(ast.parse(path.read_text(encoding="utf-8")))) == []


def folder_or_module(module: str) -> str:
    """Return the folder of a module in its package, or the module itself if it is in none."""
    return (module.split(".") + ["__init__"])[1]


@pytest.mark.parametrize("package", [package for package, order in ORDER.items() if order])
def test_the_order_names_every_folder(package: str) -> None:
    there = {(path.relative_to(ROOT / package).parts[0]).removesuffix(".py") for path in (ROOT / package).rglob("*.py")}
    assert there == set((ORDER[package] or "").split())


@each_module
def test_folders_import_only_earlier_folders(path: Path) -> None:
    package, *parts = path.relative_to(ROOT).with_suffix("").parts
    if ORDER[package] is None:
        return
    order = (ORDER[package] or "").split()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    named = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module]
    named += [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    inside = {folder_or_module(name) for name in named if name.split(".")[0] == package} - {"__init__"}
    assert {there for there in inside if order.index(there) > order.index(parts[0])} == set()


@each_module
def test_only_one_module_knows_what_ray_does_not_document(path: Path) -> None:
    name, text = path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")
    if name != RAY_INTERNALS:
        assert set(re.findall(NOT_DOCUMENTED, text)) <= MAY_USE.get(name, set())


def test_every_internal_of_ray_has_a_test() -> None:
    tree = ast.parse((ROOT / RAY_INTERNALS).read_text(encoding="utf-8"))
    tests = (ROOT / "tests/search/cluster/test_ray_internals.py").read_text(encoding="utf-8")
    names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")}
    assert {name for name in names if not re.search(rf"\b{name}\(", tests)} == set()


@each_module
def test_only_one_module_knows_what_mlflow_does_not_document(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    names |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    if path.relative_to(ROOT).as_posix() != MLFLOW_INTERNALS:
        assert {name for name in names if name.split(".")[0] == "mlflow"} <= MLFLOW_DOCUMENTS


UNTYPED = re.compile(r"\b(dict|Mapping)\[str, Any\]")
MAY_PASS_UNTYPED = {
    # Ray Tune calls these, or passes on what they return.
    "search/cluster/ray_internals.py": {"replay_to_scheduler", "ask_for_checkpoint"},
    "trainable/workers/actor.py": {"TuneTrial.setup", "TuneTrial.reset_config", "TuneTrial.step"},
    "trainable/workers/messages.py": {
        *(
            "TrialTask.to_config",
            "TrialTask.from_config",
            "key_of_task",
            "TrialReport.to_result",
            "TrialFailure.to_result",
        ),
        "read_result",
    },
    # JSON or YAML before it is written, or before it is checked.
    "search/plan/schema.py": {"experiment_schema"},
    "search/plan/settings.py": {"SweepSettings.start_with"},
    "search/record/records.py": {"Outcome.to_json", "Outcome.from_json"},
    "trainable/settings/names.py": {"nested"},
    "trainable/settings/yaml_file.py": {"load_yaml"},
    # The names for such mappings are defined here.
    "trainable/settings/values.py": {"Params", "Nested"},
    # Arguments of `sqlite3.connect`, and attributes of Optuna's trials.
    "search/storage/sqlite_lock.py": {"WAITING_ARGUMENTS"},
    "search/propose/proposer.py": {"running_trial"},
}
"""Names that other folders may import although their signatures contain a mapping to `Any`."""


def folder(path: Path) -> tuple[str, ...]:
    """Return the folder or module of a package that contains a file, or only the package if it has no order."""
    package, inside = path.relative_to(ROOT).with_suffix("").parts[:2]
    return (package, inside) if ORDER[package] else (package,)


def imported_by_other_folders() -> dict[Path, set[str]]:
    """Return, by module, its names that modules of other folders import; `*` if they import the whole module."""
    by_name = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in MODULES
    }
    names: dict[Path, set[str]] = {}
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for alias in node.names if isinstance(node, ast.ImportFrom) else ():
                whole, part = by_name.get(f"{node.module}.{alias.name}"), by_name.get(str(node.module))
                for there, name in ((whole, "*"), (part, alias.name)):
                    if there and folder(there) != folder(path):
                        names.setdefault(there, set()).add(name)
    return names


def annotated(body: list[ast.stmt], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield public functions, fields and aliases by dotted name, each with the types in its annotations."""
    for node in body:
        if isinstance(node, ast.ClassDef):
            yield from annotated(node.body, f"{node.name}.")
        elif isinstance(node, ast.FunctionDef) and (not node.name.startswith("_") or node.name == "__init__"):
            given = [each.annotation for each in ast.walk(node.args) if isinstance(each, ast.arg)]
            yield prefix + node.name, " ".join(ast.unparse(each) for each in [*given, node.returns] if each)
        elif isinstance(node, ast.AnnAssign):
            yield prefix + ast.unparse(node.target), ast.unparse(node.annotation)
        elif isinstance(node, ast.Assign):
            yield prefix + ast.unparse(node.targets[0]), ast.unparse(node.value)


def test_annotations_are_seen() -> None:
    methods = "def c(self, *, d: int) -> str: ...\n  def _e(self): ..."
    code = f"class A:\n  b: dict[str, Any]\n  {methods}\nF = dict[str, Any]"
    there = [("A.b", "dict[str, Any]"), ("A.c", "int str"), ("F", "dict[str, Any]")]
    assert list(annotated(ast.parse(code).body)) == there


def test_records_that_pass_between_folders_have_types() -> None:
    untyped: dict[str, set[str]] = {}
    for path, names in imported_by_other_folders().items():
        for name, types in annotated(ast.parse(path.read_text(encoding="utf-8")).body):
            wanted = name.split(".")[0] in names or ("*" in names and not name.startswith("_"))
            if wanted and UNTYPED.search(types):
                untyped.setdefault(path.relative_to(ROOT).as_posix(), set()).add(name)
    assert untyped == MAY_PASS_UNTYPED


@each_module
def test_modules_can_be_read_in_one_sitting(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MAX_LINES


@each_module
def test_modules_say_what_they_are_for(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text()))


def test_every_import_is_declared_and_every_declared_dependency_is_used() -> None:
    names = {name for path in MODULES for name in imported(ast.parse(path.read_text(encoding="utf-8")))}
    foreign = names - set(sys.stdlib_module_names) - set(PACKAGES)
    used = {DISTRIBUTIONS.get(name, name.replace("_", "-")) for name in foreign}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {re.split(r"[^\w-]", line)[0] for line in project["dependencies"]}
    lines = [line for name in ("gpu-metrics", "onnx") for line in project["optional-dependencies"][name]]
    extras = {re.split(r"[^\w-]", line)[0] for line in lines}
    assert used - declared == extras - {"onnx", "onnxscript"}  # torch imports them
    assert declared - used == {"cmaes"}  # Optuna imports it


def test_data_files_are_declared_so_that_a_wheel_contains_them() -> None:
    data = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["package-data"]
    declared = {path for name, globs in data.items() for g in globs for path in (ROOT / name.replace(".", "/")).glob(g)}
    there = {path for package in PACKAGES for path in (ROOT / package).rglob("*") if path.is_file()}
    assert {path for path in there if path.suffix not in {".py", ".pyc"}} == declared


@pytest.mark.parametrize(
    ("package", "unwanted"),
    [("spaces", "torch ray mlflow optuna transformers datasets"), ("trainable", "ray mlflow optuna")],
)
def test_importing_a_package_loads_no_forbidden_library(package: str, unwanted: str) -> None:
    code = f"import sys, {package}; print(*set('{unwanted}'.split()) & set(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == ""
