"""The outbox keeps events in order despite kills, full disks, readers and a change of version."""

import json
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.engine.watch.disk import explain_full_disk
from search.errors import PlanError, StoppedError
from search.storage import sqlite_lock
from search.storage.outbox import Outbox, count_waiting
from search.storage.sqlite_lock import explain_locked_study
from search.storage.store_uri import read_only_uri

IN_MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""A folder in memory, if there is one: many commits to a disk would be slow."""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


def everything(outbox: Outbox) -> list[str]:
    return [event for _, event in outbox.oldest(10_000)]


# What may happen to an outbox: an append, a delivery of some events, a process that ends without closing the outbox.
ACTIONS = st.one_of(
    st.tuples(st.just("append"), st.text()),
    st.tuples(st.just("deliver"), st.integers(0, 3)),
    st.tuples(st.just("leave"), st.none()),
)


@settings(deadline=None, max_examples=50)
@given(st.lists(ACTIONS, max_size=25))
def test_each_event_is_delivered_once_and_in_order(actions: list[tuple[str, str | int | None]]) -> None:
    with tempfile.TemporaryDirectory(dir=IN_MEMORY) as folder:
        file = Path(folder) / "outbox.db"
        outbox = Outbox(file)
        given_: list[str] = []
        delivered: list[str] = []
        for action, value in actions:
            if action == "append":
                outbox.append(str(value))
                given_.append(str(value))
            elif action == "deliver":
                assert isinstance(value, int)
                if oldest := outbox.oldest(value):
                    outbox.remove_delivered(oldest[-1][0])
                delivered += [event for _, event in oldest]
            else:
                outbox = Outbox(file)
            assert len(outbox) == count_waiting(file) == len(given_) - len(delivered)
        assert delivered + everything(Outbox(file)) == given_


WRITER = """
import sys
from pathlib import Path
from search.storage.outbox import Outbox
outbox = Outbox(Path(sys.argv[1]))
for number in range(int(sys.argv[2]), 1_000_000):
    outbox.append(str(number) * 2000)
    print(number, flush=True)
"""


def test_added_events_are_there_after_a_kill(file: Path) -> None:
    """The speed of the disk decides when each kill happens; most happen during a commit."""
    begin = 0
    for _ in range(5):
        command = [sys.executable, "-c", WRITER, str(file), str(begin)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, encoding="ascii")
        assert process.stdout is not None
        for _ in range(10):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        rest, _ = process.communicate()
        accepted = begin + 9 + len(rest.split())
        waiting = count_waiting(file)
        assert waiting in (accepted + 1, accepted + 2)  # the last may have been written and not yet printed
        assert everything(Outbox(file)) == [str(number) * 2000 for number in range(waiting)]
        begin = waiting


def test_a_commit_is_on_the_disk_and_needs_no_shared_memory(file: Path) -> None:
    """Check the settings with which SQLite promises to survive a power failure, as a test cannot cause one."""
    outbox = Outbox(file)
    outbox.append("1")
    assert outbox._connection.execute("pragma synchronous").fetchone() == (3,)
    assert outbox._connection.execute("pragma journal_mode").fetchone() == ("delete",)
    assert [path.name for path in file.parent.iterdir()] == ["outbox.db"]


def test_a_full_disk_gives_one_sentence_and_loses_no_event(tiny_disk: Path) -> None:
    file = tiny_disk / "outbox.db"
    outbox = Outbox(file)
    ballast = tiny_disk / "ballast"
    ballast.write_bytes(bytes(1_800_000))
    kept: list[str] = []
    with pytest.raises(StoppedError, match="the disk is full or nearly full"), explain_full_disk(tiny_disk):
        for number in range(100):
            outbox.append(str(number) * 10_000)
            kept.append(str(number) * 10_000)
    assert len(outbox) == count_waiting(file) == len(kept)
    ballast.unlink()
    outbox.append("then")
    assert everything(outbox) == everything(Outbox(file)) == [*kept, "then"]


def test_a_used_up_quota_is_reported_with_the_reason_of_the_system(file: Path) -> None:
    """The test limits the file's size instead: SQLite reports both as "disk I/O error"."""
    outbox = Outbox(file)
    outbox.append("1")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file.stat().st_size + 10, hard))
        with pytest.raises(OSError, match="File too large"):
            outbox.append("2" * 10_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    outbox.append("3")
    assert everything(outbox) == everything(Outbox(file)) == ["1", "3"]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_the_file_has_the_usual_permissions(umask: int, mode: int, file: Path) -> None:
    before = os.umask(umask)
    try:
        Outbox(file).append("1")
    finally:
        os.umask(before)
    assert file.stat().st_mode & 0o777 == mode


@contextmanager
def reader(file: Path) -> Iterator[sqlite3.Connection]:
    """Open a connection that is reading, so that others cannot write."""
    uri = read_only_uri(file)
    with closing(sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)) as connection:
        connection.execute("begin")
        assert connection.execute("select count(*) from events").fetchone() == (1,)
        yield connection


def test_a_write_waits_for_a_reader(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sqlite_lock.WAITING_ARGUMENTS, "timeout", 0.01)
    outbox = Outbox(file)
    outbox.append("1")
    with reader(file) as first, reader(file):
        pass
    with reader(file) as first:
        threading.Timer(0.3, first.execute, ("rollback",)).start()
        outbox.append("2")
    assert everything(Outbox(file)) == ["1", "2"]


def test_a_reader_that_never_ends_gives_an_error(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sqlite_lock.WAITING_ARGUMENTS, "timeout", 0.01)
    monkeypatch.setattr(sqlite_lock, "LOCK_SECONDS", 0.1)
    outbox = Outbox(file)
    outbox.append("1")
    in_words = explain_locked_study(file.parent / "study.db", "transfersweep resume tiny")
    with reader(file), pytest.raises(StoppedError, match=r"outbox.db: another process"), in_words:
        outbox.append("2")
    assert everything(Outbox(file)) == ["1"]


@pytest.mark.parametrize("content", [b"nonsense" * 100, b""])
def test_a_damaged_file_gives_one_sentence_and_an_empty_file_gives_no_error(content: bytes, file: Path) -> None:
    file.write_bytes(content)
    if not content:
        assert count_waiting(file) == len(Outbox(file)) == 0
        return
    for use in (Outbox, count_waiting):
        with pytest.raises(PlanError, match=r"outbox.db: is damaged .*; remove it"):
            use(file)


def test_a_closed_outbox_leaves_its_events_to_the_next(file: Path) -> None:
    outbox = Outbox(file)
    outbox.append("1")
    [(number, _)] = outbox.oldest(1)
    outbox.close()
    successor = Outbox(file)
    successor.append("2")
    assert outbox.oldest(1) == []
    outbox.remove_delivered(number)  # a delivery that had begun before
    assert everything(successor) == everything(Outbox(file)) == ["1", "2"]


def line(number: int) -> str:
    return json.dumps({"n": number, "event": {"number": number}}) + "\n"


@pytest.mark.parametrize(
    ("content", "waiting"),
    [
        ("", []),
        (line(1) + line(2), [1, 2]),
        (line(1) + line(2) + '{"delivered": 1}\n' + line(3), [2, 3]),
        (line(1) + line(2).strip(), [1]),  # killed while it wrote
        (line(1) + line(2)[:9], [1]),
        (line(1) + "\0" * 20 + "\n{\n17\n[]\n" + '{"n": 1}\n' + line(2), [1, 2]),  # a failing disk
    ],
)
def test_events_of_an_earlier_version_come_first_and_once(content: str, waiting: list[int], file: Path) -> None:
    older = file.with_suffix(".jsonl")
    older.write_text(content)
    assert count_waiting(file) == len(waiting)
    Outbox(file).append("then")
    assert not older.exists()
    assert count_waiting(file) == len(waiting) + 1
    events = everything(Outbox(file))
    assert [json.loads(event) for event in events[:-1]] == [{"number": number} for number in waiting]
    assert events[-1] == "then"
