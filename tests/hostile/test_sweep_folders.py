"""Damaged sweeps: `show`, `resume` and `export` name the damaged file, and change nothing."""

import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest

from search.storage.sweep_folder import SweepFolder

Refused = Callable[..., str]
COMMANDS = ("show", "resume", "export")


@pytest.fixture
def folder(swept: SweepFolder, tmp_path: Path) -> SweepFolder:
    """A copy of a finished sweep to damage."""
    shutil.copytree(swept.path, tmp_path / "runs" / swept.name)
    return SweepFolder(tmp_path / "runs", swept.name)


@pytest.fixture
def refuses(
    refused: Refused, folder: SweepFolder, tmp_path: Path, untouched: Callable[[Path], Any]
) -> Callable[..., str]:
    """Return the message of a command about the sweep, which it must not change."""

    def check(command: str) -> str:
        more = ("--to", tmp_path / "model") if command == "export" else ()
        with untouched(tmp_path):
            return refused(command, folder.name, "--storage", folder.storage, *more)

    return check


@pytest.fixture
def unfinished(folder: SweepFolder) -> SweepFolder:
    """A sweep whose outcome must be read from its study."""
    folder.outcome.unlink()
    return folder


JSON: dict[str, str | bytes] = {
    "empty": "",
    "cut off": '{"sweep": {"name": "ti',
    "nothing": "null",
    "a list": "[]",
    "an empty object": "{}",
    "of other types": '{"sweep": 1, "trial": [], "space": "", "roots": {}, "id": 0, "trials": 3, "winner": []}',
    "nested deeply": "[" * 100_000,
    "in UTF-16": "{}".encode("utf-16"),
    "binary": bytes(range(256)),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("kind", JSON)
@pytest.mark.parametrize("name", ["outcome.json", "plan.json"])
def test_damaged_json(name: str, kind: str, command: str, folder: SweepFolder, refuses: Callable[..., str]) -> None:
    if (name, command) == ("plan.json", "show"):
        folder.outcome.unlink()  # with an outcome, the plan is not needed
    content = JSON[kind]
    (folder.path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    message = refuses(command)
    assert f"{folder.path / name}: " in message


@pytest.mark.parametrize("command", ["show", "resume"])
@pytest.mark.parametrize("name", ["outcome.json", "plan.json", "study.db"])
def test_a_path_that_is_not_a_file(
    name: str, command: str, not_a_file: Callable[[Path], None], folder: SweepFolder, call: Callable[..., Any]
) -> None:
    if name != "outcome.json":
        folder.outcome.unlink()
    (folder.path / name).unlink(missing_ok=True)
    not_a_file(folder.path / name)
    if os.path.exists(folder.path / name):  # a link to nothing counts as a missing file
        result = call(command, folder.name, "--storage", folder.storage)
        assert result.exit_code == 2, result.output
        assert isinstance(result.exception, SystemExit), result.exception
        assert name in result.stderr or "no such sweep" in result.stderr


def other_study(file: Path) -> None:
    file.unlink()
    optuna.create_study(storage=f"sqlite:///{file}", study_name="another")


def of_the_future(file: Path) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE version_info SET schema_version = 99")
        connection.execute("UPDATE alembic_version SET version_num = 'v9.9.9.z'")


def overwritten(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[4096:12288] = os.urandom(8192)
    file.write_bytes(content)


STUDIES: dict[str, Callable[[Path], object]] = {
    "no SQLite": lambda file: file.write_bytes(b"hello " * 1000),
    "a pickle": lambda file: file.write_bytes(b"\x80\x04\x95" * 1000),
    "cut off": lambda file: file.write_bytes(file.read_bytes()[:20_000]),
    "cut off in the header": lambda file: file.write_bytes(file.read_bytes()[:50]),
    "pages overwritten": overwritten,
    "of another sweep": other_study,
    "of a later Optuna": of_the_future,
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("kind", STUDIES)
def test_a_damaged_study(
    kind: str, command: str, unfinished: SweepFolder, refused: Refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    STUDIES[kind](unfinished.study)
    before = unfinished.study.read_bytes()
    more = ("--to", tmp_path / "model") if command == "export" else ()
    assert "study.db: " in refused(command, unfinished.name, "--storage", unfinished.storage, *more)
    assert unfinished.study.read_bytes() == before
    assert not (tmp_path / "model").exists()


def test_show_creates_no_study(unfinished: SweepFolder, refuses: Callable[..., str]) -> None:
    unfinished.study.unlink()
    assert "has no trial yet" in refuses("show")


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    "name", ["..", ".", "../runs/tiny", "/tmp", "", "tiny/", "tiny/../tiny", "ti ny", "x" * 5000, "-"]
)
def test_a_name_cannot_lead_out_of_the_storage(name: str, command: str, folder: SweepFolder, refused: Refused) -> None:
    more = ("--to", folder.storage / "model") if command == "export" else ()
    assert "no sweep can have that name" in refused(command, "--storage", folder.storage, *more, "--", name)


@pytest.mark.parametrize("name", ["../x", "/tmp/x", "..", "a/b", ".hidden", "", "x" * 5000, "a\nb"])
def test_a_new_sweep_cannot_have_a_name_that_leads_out_of_the_storage(
    name: str, experiment: Callable[..., Path], run_refused: Refused, tmp_path: Path
) -> None:
    assert "sweep.name: " in run_refused(experiment({"sweep.name": name}))


@pytest.mark.parametrize("kind", ["link to itself", "link to nothing", "file"])
def test_something_in_the_place_of_the_sweep(
    kind: str, experiment: Callable[..., Path], refused: Refused, tmp_path: Path
) -> None:
    storage, file = tmp_path / "runs", experiment()
    storage.mkdir()
    if kind == "file":
        (storage / "tiny").write_text("")
    else:
        (storage / "tiny").symlink_to("tiny" if kind == "link to itself" else "gone")
    assert f"{storage / 'tiny'} exists" in refused("run", file, "--storage", storage)


def test_a_storage_that_is_no_folder(experiment: Callable[..., Path], refused: Refused, tmp_path: Path) -> None:
    file = tmp_path / "runs"
    file.write_text("mine")
    for command in ("show", "resume"):
        assert "no such sweep" in refused(command, "tiny", "--storage", file)
    assert "--storage" in refused("run", experiment(), "--storage", file)
    assert file.read_text() == "mine"


@pytest.mark.parametrize("kind", ["link to itself", "link to nothing", "pipe", "long name", "below a file"])
def test_an_export_to_no_folder_is_refused(kind: str, swept: SweepFolder, refused: Refused, tmp_path: Path) -> None:
    to = tmp_path / ("x" * 5000 if kind == "long name" else "model")
    if kind.startswith("link"):
        to.symlink_to("model" if kind == "link to itself" else "gone")
    elif kind == "pipe":
        os.mkfifo(to)
    elif kind == "below a file":
        to.write_text("")
        to = to / "below"
    before = sorted(tmp_path.iterdir())
    assert "--to" in refused("export", swept.name, "--storage", swept.storage, "--to", to)
    assert sorted(tmp_path.iterdir()) == before


def cut_weights(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-10])


def drop_a_tensor(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    weights.pop("classifier.bias")
    save_file(weights, folder / "model.safetensors")


def add_a_tensor(folder: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    save_file(load_file(folder / "model.safetensors") | {"more": torch.ones(1)}, folder / "model.safetensors")


def reshape_a_tensor(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    save_file(weights | {"classifier.bias": weights["classifier.bias"][:1].clone()}, folder / "model.safetensors")


CHECKPOINTS: dict[str, Callable[[Path], object]] = {
    "weights cut off": cut_weights,
    "a pickle as weights": lambda folder: (folder / "model.safetensors").write_bytes(b"\x80\x04\x95\x00"),
    "a tensor missing": drop_a_tensor,
    "a tensor too many": add_a_tensor,
    "a tensor of another shape": reshape_a_tensor,
    "facts that are no JSON": lambda folder: (folder / "trial.json").write_text("{"),
    "facts that are a list": lambda folder: (folder / "trial.json").write_text("[]"),
    "facts without settings": lambda folder: (folder / "trial.json").write_text('{"finished": true}'),
    "facts of other settings": lambda folder: (folder / "trial.json").write_text(
        json.dumps({"finished": True, "label_names": ["a", "b", "c"], "config": {"encoder": "x"}})
    ),
}


@pytest.mark.parametrize("kind", CHECKPOINTS)
def test_a_damaged_checkpoint_is_not_exported(kind: str, folder: SweepFolder, refused: Refused, tmp_path: Path) -> None:
    checkpoint = folder.path / json.loads(folder.outcome.read_text())["trials"][0]["checkpoint"]
    CHECKPOINTS[kind](checkpoint)
    message = refused("export", folder.name, "--storage", folder.storage, "--to", tmp_path / "model")
    assert str(checkpoint) in message
    assert not (tmp_path / "model").exists()
