"""Writing is atomic: killed writers and full disks leave no half-written file or folder."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from trainable.store.files import remove_leftovers, write_file, write_folder

WRITER = """
import sys, time
from pathlib import Path
from trainable.store.files import write_folder

def write(folder):
    (folder / "half").write_text("half")
    print("writing", flush=True)
    time.sleep(600)

write_folder(Path(sys.argv[1]), write)
"""


def _age(root: Path) -> None:
    for folder in root.glob(".*"):
        os.utime(folder, (time.time() - 60,) * 2)


def test_temporary_folders_of_a_killed_writer_are_removed(tmp_path: Path) -> None:
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path / "made")], stdout=subprocess.PIPE)
    assert writer.stdout is not None
    assert writer.stdout.readline() == b"writing\n"
    _age(tmp_path)
    remove_leftovers(tmp_path)
    (temporary,) = tmp_path.iterdir()  # the writer still runs
    writer.send_signal(signal.SIGKILL)
    writer.communicate()
    assert [file.name for file in temporary.iterdir()] == ["half"]
    remove_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_folders_of_others_are_not_removed(tmp_path: Path) -> None:
    names = [
        ".mydraft.tmp",
        f".mine.{'0' * 32}.tmp",
        ".transfersweep-mine",
        f".transfersweep-{'0' * 31}z",
        ".preflight-1",
    ]
    for name in names:
        (tmp_path / "below" / name).mkdir(parents=True)
    _age(tmp_path / "below")
    remove_leftovers(tmp_path)
    assert sorted(path.name for path in (tmp_path / "below").iterdir()) == sorted(names)


def test_a_failed_write_leaves_the_old_content(tmp_path: Path) -> None:
    write_file(tmp_path / "file", lambda into: into.write_text("old"))
    write_folder(tmp_path / "folder", lambda into: (into / "file").write_text("old"))

    def fail(into: Path) -> None:
        (into / "file" if into.is_dir() else into).write_text("new")
        raise KeyboardInterrupt

    for write, name in ((write_file, "file"), (write_folder, "folder")):
        with pytest.raises(KeyboardInterrupt):
            write(tmp_path / name, fail)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]
    assert (tmp_path / "file").read_text() == (tmp_path / "folder" / "file").read_text() == "old"


def test_a_full_disk_leaves_the_old_content(tiny_disk: Path) -> None:
    write_file(tiny_disk / "file", lambda into: into.write_text("old"))
    for write in (write_file, write_folder):
        with pytest.raises(OSError, match="No space") as caught:
            write(tiny_disk / "file", lambda into: (into / "x" if into.is_dir() else into).write_bytes(bytes(2**22)))
        assert caught.value.errno == errno.ENOSPC
    assert [path.name for path in tiny_disk.iterdir()] == ["file"]
    assert (tiny_disk / "file").read_text() == "old"
