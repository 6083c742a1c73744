"""Commands on consoles whose encoding lacks characters print everything, without a traceback."""

import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from search.__main__ import app
from search.storage.sweep_folder import SweepFolder
from search.streams import allow_any_character

TABLE = "text,label\n" + "".join(f"größe → 好 {i} 🎬,{'très bon' if i % 2 else '不好'}\n" for i in range(40))
ENCODINGS = ("ascii", "latin-1", "cp1252", "utf-8")
Command = Callable[..., tuple[int, bytes, bytes]]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    file = tmp_path / "größe 好.csv"
    file.write_text(TABLE, encoding="utf-8")
    return file


@pytest.fixture(params=ENCODINGS)
def encoding(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def command(encoding: str, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs a command on a console with that encoding; returns the exit code and the bytes of stdout and stderr."""

    def run(*arguments: object) -> tuple[int, bytes, bytes]:
        streams = [io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2)]
        monkeypatch.setattr(sys, "stdout", streams[0])
        monkeypatch.setattr(sys, "stderr", streams[1])
        allow_any_character()
        code = 0
        try:
            app([str(argument) for argument in arguments])
        except SystemExit as ended:
            code = int(ended.code or 0)
        for stream in streams:
            stream.flush()
        return code, *(stream.buffer.getvalue() for stream in streams)

    return run


def test_inspect(command: Command, encoding: str, table: Path, tiny_bert: str) -> None:
    _, out, _ = command("inspect", table, "--encoder", tiny_bert)
    text = out.decode(encoding)
    assert {"ascii": r"tr\xe8s bon", "latin-1": "très bon"}.get(encoding, "très bon") in text
    assert ("█" if encoding == "utf-8" else "####") in text
    assert ("不好" if encoding == "utf-8" else r"\u4e0d\u597d") in text


def test_error_messages(command: Command, encoding: str, table: Path, tiny_bert: str) -> None:
    table.write_text(TABLE + "ein anderes,très rare\n", encoding="utf-8")
    code, _, err = command("inspect", table, "--encoder", tiny_bert, "--set", "label=größe")
    assert code == 2
    assert b"gr" in err
    err.decode(encoding)


@pytest.mark.parametrize("arguments", [("show",), ("show", "--time")])
def test_show(command: Command, encoding: str, swept: SweepFolder, arguments: tuple[str, ...]) -> None:
    code, out, err = command(arguments[0], swept.path.name, *arguments[1:], "--storage", swept.storage)
    assert code == 0, err
    assert out.decode(encoding)


def test_predicted_rows_are_written_as_utf8(command: Command, table: Path, swept: SweepFolder, tmp_path: Path) -> None:
    assert command("export", "tiny", "--storage", swept.storage, "--to", tmp_path / "modèle")[0] == 0
    code, out, _ = command("predict", tmp_path / "modèle", table)
    assert code == 0
    rows = out.decode("utf-8").splitlines()[1:]
    assert len(rows) == 40
    assert all(row.startswith("größe → 好") for row in rows)


def test_undecodable_bytes_of_a_file_name_are_written_unchanged(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    allow_any_character()
    print(os.fsdecode(b"a\xff.csv"), flush=True)
    assert stream.buffer.getvalue() == b"a\xff.csv\n"


def test_the_command_line_prints_in_the_c_locale(table: Path, tiny_bert: str) -> None:
    """The automatic UTF-8 modes of Python are switched off."""
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable, "-m", "search", "inspect", str(table), "--encoder", tiny_bert]
    done = subprocess.run(command, env=os.environ | locale, capture_output=True, check=False)
    assert b"Traceback" not in done.stderr
    assert b"####" in done.stdout
    assert rb"\u4e0d\u597d" in done.stdout


def test_the_live_view_uses_the_encoding_of_the_console(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from search.redirect_output import output_to_file\n"
        "from search.streams import *\n"
        "allow_any_character()\n"
        "with output_to_file(Path(sys.argv[1])) as console: console.print('größe 好 █'); print('🎬')"
    )
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-c", code, str(tmp_path / "log")]
    done = subprocess.run(command, env=environment, capture_output=True, check=True)
    assert done.stderr == rb"gr\xf6\xdfe \u597d #" + b"\n"
    assert (tmp_path / "log").read_bytes() == rb"\U0001f3ac" + b"\n"
