"""Fixtures for hostile inputs: commands as a user types them, a correct experiment, and builders of files."""

import copy
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner
from yaml_text import dump_yaml

from search.__main__ import app

LONGEST = 2000  # characters in a line of a message, so that a terminal can show it


def contents(folder: Path) -> dict[str, int]:
    """Return the modification time of every path below a folder, so that a test notices any write."""
    return {str(path): path.lstat().st_mtime_ns for path in sorted(folder.rglob("*"))} if folder.exists() else {}


@pytest.fixture
def call(ray_when_joined: None) -> Callable[..., Result]:
    """Run the real command line in this process."""
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def refused(call: Callable[..., Result]) -> Callable[..., str]:
    """Run a command that must refuse its input in readable lines; return the message."""

    def run(*arguments: object) -> str:
        result = call(*arguments)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == 2, result.output
        assert result.stdout == ""
        lines = result.stderr.splitlines()
        assert lines
        assert all(line.strip() and line.isprintable() and len(line) <= LONGEST for line in lines), lines
        return str(result.stderr)

    return run


@pytest.fixture
def run_refused(refused: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Call `run` with an experiment that must be refused before anything is written."""

    def begun(*_: object, **__: object) -> None:
        raise AssertionError("the sweep was begun")

    monkeypatch.setattr("search.cluster.connection.starting", begun)  # fail before a whole sweep runs

    def run(file: Path, *arguments: object) -> str:
        storage = tmp_path / "storage"
        message = refused("run", file, "--storage", storage, *arguments)
        assert contents(storage) == {}
        return message

    return run


@pytest.fixture
def experiment(blocks: dict[str, Any], tmp_path: Path) -> Callable[..., Path]:
    """Write a correct experiment with the changes of a test, by dotted name (`trial.encoder`)."""

    def write(changes: dict[str, Any] | None = None) -> Path:
        changed = copy.deepcopy(blocks)
        for name, value in (changes or {}).items():
            *way, last = name.split(".") if not name.startswith("space.") else ("space", name.removeprefix("space."))
            inner = changed
            for step in way:
                inner = inner[step]
            inner[last] = value
        file = tmp_path / "mine.yaml"
        file.write_text(dump_yaml(changed), encoding="utf-8")
        return file

    return write


def fifo(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def a_socket(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # the address of a socket has at most 108 characters
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.chdir(here)


def loop(path: Path) -> None:
    path.symlink_to(path)


def dangling(path: Path) -> None:
    path.symlink_to(path.with_name("gone"))


NOT_FILES: dict[str, Callable[[Path], None]] = {
    "folder": Path.mkdir,
    "FIFO": fifo,
    "device": device,
    "socket": a_socket,
    "symbolic link to itself": loop,
    "symbolic link to nothing": dangling,
}


@pytest.fixture(params=NOT_FILES)
def not_a_file(request: pytest.FixtureRequest) -> Callable[[Path], None]:
    """Put something that is not a regular file at a path; opening some of these would block."""
    return NOT_FILES[request.param]


@pytest.fixture
def unreadable() -> Iterator[Callable[[Path], None]]:
    """Remove the permission to read a file; skip the test for root, who may read everything."""
    if os.geteuid() == 0:
        pytest.skip("root reads everything")
    taken: list[Path] = []

    def take(path: Path) -> None:
        path.chmod(0)
        taken.append(path)

    yield take
    for path in taken:
        path.chmod(0o600)


@pytest.fixture
def untouched() -> Callable[[Path], AbstractContextManager[None]]:
    """Check that nothing below a folder is written in a `with` block."""

    @contextmanager
    def watch(folder: Path) -> Iterator[None]:
        before = contents(folder)
        yield
        assert contents(folder) == before

    return watch
