"""Security promises: no foreign code runs, nothing is reported to others, and no other machine can connect."""

import ast
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from yaml_text import dump_yaml

from search.storage.store_uri import ui_command

ROOT = Path(__file__).parents[1]
MODULES = sorted(path for package in ("spaces", "trainable", "search") for path in (ROOT / package).rglob("*.py"))
PRETRAINED_MODULE = ROOT / "trainable" / "model" / "pretrained.py"
"""The only module that may load pretrained files."""

PICKLES = {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal", "jsonpickle"}
RUNS = {"eval", "exec", "compile", "__import__", "breakpoint"}
LOADS = {"torch.load", "np.load", "numpy.load", "yaml.load", "yaml.unsafe_load", "yaml.full_load", "torch.hub.load"}
LOADS |= {"os.system", "os.popen", "pd.read_pickle", "importlib.import_module", "runpy.run_path"}


def name_of(node: ast.expr) -> str:
    """Return a dotted name as `a.b.c`, with `?` for a computed part."""
    if isinstance(node, ast.Name):
        return node.id
    return f"{name_of(node.value)}.{node.attr}" if isinstance(node, ast.Attribute) else "?"


def dangers(source: str) -> Iterator[str]:
    """Yield every place of a module where a foreign file could become code."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            yield from (f"line {node.lineno}: imports {m}" for m in modules if m.split(".")[0] in PICKLES)
        if not isinstance(node, ast.Call):
            continue
        called, given = name_of(node.func), {word.arg: word.value for word in node.keywords}
        if called in LOADS | RUNS:
            yield f"line {node.lineno}: calls {called}"
        shell, trust = given.get("shell"), given.get("trust_remote_code")
        if shell is not None and not (isinstance(shell, ast.Constant) and shell.value is False):
            yield f"line {node.lineno}: {called} through a shell"
        if trust is not None and not (isinstance(trust, ast.Constant) and trust.value is False):
            yield f"line {node.lineno}: {called} may run foreign code"
        if called.startswith("Auto") and called.endswith((".from_pretrained", ".from_config")):
            if trust is None:  # transformers would ask on the terminal, and run the code after "y"
                yield f"line {node.lineno}: {called} without trust_remote_code=False"
            if called.startswith("AutoModel") and called.endswith("pretrained") and "use_safetensors" not in given:
                yield f"line {node.lineno}: {called} without use_safetensors=True"


DANGEROUS = {
    "from pickle import loads": "imports pickle",
    "import joblib.numpy_pickle": "imports joblib.numpy_pickle",
    "torch.load(file)": "calls torch.load",
    "np.load(file, allow_pickle=True)": "calls np.load",
    "eval(text)": "calls eval",
    "yaml.load(text, Loader)": "calls yaml.load",
    "subprocess.run(text, shell=True)": "subprocess.run through a shell",
    "load(x, trust_remote_code=settings.trust)": "load may run foreign code",
    "AutoConfig.from_pretrained(folder)": "AutoConfig.from_pretrained without trust_remote_code=False",
    "AutoModel.from_config(config)": "AutoModel.from_config without trust_remote_code=False",
    "AutoModel.from_pretrained(f, trust_remote_code=False)": "AutoModel.from_pretrained without use_safetensors=True",
}


@pytest.mark.parametrize("line", DANGEROUS)
def test_the_check_finds_each_danger(line: str) -> None:
    assert list(dangers(line)) == [f"line 1: {DANGEROUS[line]}"]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_foreign_file_becomes_code(path: Path) -> None:
    source = path.read_text()
    assert list(dangers(source)) == []
    if path != PRETRAINED_MODULE:
        calls = [ast.unparse(node.func) for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
        assert [name for name in calls if name.endswith(".from_pretrained")] == []  # a text that shows one is no call


def test_the_ui_listens_only_on_this_machine() -> None:
    command, _ = ui_command("sqlite:///runs/mlflow.db")
    assert command[command.index("--host") + 1] == "127.0.0.1"


def test_no_password_is_in_the_arguments_of_the_ui() -> None:
    """Every user of the machine can list the arguments of a process."""
    uri = "postgresql://bob:hunter2@db/mlflow"
    command, variables = ui_command(uri)
    assert "hunter2" not in " ".join(command)
    assert variables["MLFLOW_BACKEND_STORE_URI"] == uri


STARTERS = [path for folder in ("benchmarks", "tests") for path in sorted((ROOT / folder).rglob("*.py"))]
STARTERS = [path for path in STARTERS if re.search(r"ray\.init\((address=)?.local", path.read_text())]


@pytest.mark.parametrize("path", STARTERS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_start_of_ray_sets_a_token(path: Path) -> None:
    """Otherwise Ray creates a token and writes it into `~/.ray/auth_token`, where every user can read it."""
    assert re.search("AUTH_TOKEN|TOKEN: ", path.read_text())


def python_without_environment(*arguments: str) -> str:
    """Return the output of Python in a process without environment variables that a library might read."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    command, environment = [sys.executable, *arguments], kept | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


SILENT = {
    "trainable": "huggingface_hub.constants.HF_HUB_DISABLE_TELEMETRY",
    "search": "huggingface_hub.constants.HF_HUB_DISABLE_TELEMETRY and mlflow.telemetry.utils.is_telemetry_disabled() "
    "and not ray._common.usage.usage_lib.usage_stats_enabled()",
}


@pytest.mark.slow
@pytest.mark.parametrize("package", SILENT)
def test_telemetry_is_off_before_the_libraries_load(package: str) -> None:
    """The libraries say so themselves, in a process without variables (MLflow sends nothing if it detects tests)."""
    modules = "huggingface_hub.constants, mlflow.telemetry.utils, ray._common.usage.usage_lib, os"
    code = f"import {package}, {modules}; print(bool({SILENT[package]}), os.environ['DISABLE_SAFETENSORS_CONVERSION'])"
    assert python_without_environment("-c", code).split() == ["True", "1"]


SWEEP = """
import json, os, sys
reached, listening, workers = set(), set(), {}
def hear(event, arguments):
    if event in ("socket.connect", "socket.sendto") and isinstance(arguments[1], tuple):
        reached.add(str(arguments[1][0]))
    elif event == "socket.getaddrinfo":
        reached.add(str(arguments[0]))
sys.addaudithook(hear)
from pathlib import Path
import psutil, ray
from search.cluster import connection
from search.plan.plan import load_plan
from search.engine.start import start_sweep
join = connection.join
def watched(*arguments, **named):
    join(*arguments, **named)
    workers.update(ray.get(ray.remote(lambda: dict(os.environ)).remote()))
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        listening.update(c.laddr.ip for c in process.net_connections("inet") if c.status == "LISTEN")
connection.join = watched
outcome = start_sweep(load_plan(Path(sys.argv[1]), {"sweep.trials": "1"}), Path(sys.argv[2]))
told = {name: workers.get(name) for name in os.environ if "TELEMETRY" in name or "USAGE" in name or "TRACK" in name}
print(json.dumps([sorted(reached), sorted(listening), told, [trial.state for trial in outcome.trials]]))
"""
HERE = {"127.0.0.1", "::1", "localhost", "None", platform.node()}


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(300)
def test_a_sweep_talks_only_to_this_machine(blocks: dict[str, Any], tmp_path: Path) -> None:
    """The driver connects to no other machine, no other machine can connect, and telemetry of the workers is off."""
    (tmp_path / "mine.yaml").write_text(dump_yaml(blocks))
    printed = python_without_environment("-c", SWEEP, str(tmp_path / "mine.yaml"), str(tmp_path / "runs"))
    reached, listening, variables, states = json.loads(printed.splitlines()[-1])
    assert "finished" in states
    assert set(reached) <= HERE
    assert set(listening) <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
    assert variables == {
        "DO_NOT_TRACK": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "RAY_USAGE_STATS_ENABLED": "0",
    }
