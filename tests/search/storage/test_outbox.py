import resource
import signal
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.storage.outbox import Outbox, count_waiting

JSON_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
EVENTS = st.dictionaries(st.text(max_size=3), JSON_VALUES, max_size=3)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "outbox.jsonl"


def everything(outbox: Outbox) -> list[dict[str, Any]]:
    return outbox.first(1000)


# What may happen to an outbox: an append, the delivery of the first so many, a kill between two writes, a kill in the
# middle of an append after so many of its bytes.
DEEDS = st.one_of(
    st.tuples(st.just("append"), EVENTS),
    st.tuples(st.just("deliver"), st.integers(0, 3)),
    st.tuples(st.just("kill"), st.none()),
    st.tuples(st.just("tear"), st.tuples(EVENTS, st.integers(0, 10_000))),
)


@settings(deadline=None)
@given(st.lists(DEEDS, max_size=25))
def test_whatever_happens_each_event_is_delivered_once_and_in_order(deeds: list[tuple[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "outbox.jsonl"
        outbox = Outbox(file)
        given_, delivered = [], []
        for deed, what in deeds:
            if deed == "append":
                outbox.append(what)
                given_.append(what)
            elif deed == "deliver":
                events = outbox.first(what)
                outbox.delivered(len(events))
                delivered += events
            elif deed == "kill":
                outbox = Outbox(file)  # the old one is not closed, as in a process that was killed
            else:
                event, cut = what
                before = file.stat().st_size
                outbox.append(event)
                line = file.stat().st_size - before
                with file.open("r+b") as torn:
                    torn.truncate(before + cut % line)  # at least the line break is missing
                outbox = Outbox(file)
            assert len(outbox) == count_waiting(file) == len(given_) - len(delivered)
        outbox = Outbox(file)
        assert delivered + everything(outbox) == given_


@settings(deadline=None)
@given(st.lists(EVENTS, max_size=8), st.data())
def test_a_file_cut_anywhere_holds_the_first_of_its_events(events: list[dict[str, Any]], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "outbox.jsonl"
        outbox = Outbox(file)
        for event in events:
            outbox.append(event)
        content = file.read_bytes()
        cut = data.draw(st.integers(0, len(content)))
        file.write_bytes(content[:cut])
        whole = content[:cut].count(b"\n")
        reopened = Outbox(file)
        reopened.append({"and": "then"})
        assert everything(Outbox(file)) == [*events[:whole], {"and": "then"}]


@settings(deadline=None)
@given(st.lists(EVENTS, min_size=2, max_size=8), st.data())
def test_a_spoilt_line_costs_no_other_event(events: list[dict[str, Any]], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "outbox.jsonl"
        outbox = Outbox(file)
        for event in events:
            outbox.append(event)
        done = data.draw(st.integers(0, len(events) - 1))
        outbox.delivered(done)
        lines = file.read_bytes().split(b"\n")
        spoilt = data.draw(st.integers(0, len(events) - 1))
        lines[spoilt] = data.draw(st.sampled_from([b"\0" * 20, b"{", b"17", b"[]", b"\xff", b'{"n": 1}']))
        file.write_bytes(b"\n".join(lines))
        rest = [event for number, event in enumerate(events) if number >= done and number != spoilt]
        Outbox(file).append({"and": "then"})
        assert everything(Outbox(file)) == [*rest, {"and": "then"}]


def test_nothing_that_waits_is_an_empty_file(file: Path) -> None:
    outbox = Outbox(file)
    for number in range(3):
        outbox.append({"number": number}, sync=True)
    outbox.delivered(2)
    assert file.stat().st_size > 0
    outbox.delivered(1)
    assert file.stat().st_size == 0


def test_what_is_delivered_is_what_a_restart_would_deliver(file: Path) -> None:
    outbox = Outbox(file)
    event: dict[str, Any] = {"states": ((1, "finished"),), "metrics": {1: 2.0}}
    outbox.append(event)
    event["metrics"] = {}
    kept = {"states": [[1, "finished"]], "metrics": {"1": 2.0}}
    assert outbox.first(1) == Outbox(file).first(1) == [kept]


def test_a_closed_outbox_leaves_its_events_to_the_next(file: Path) -> None:
    outbox = Outbox(file)
    outbox.append({"number": 1})
    outbox.close()
    successor = Outbox(file)
    successor.append({"number": 2})
    outbox.delivered(1)  # what was in flight
    assert everything(Outbox(file)) == [{"number": 1}, {"number": 2}]


def test_a_full_disk_leaves_no_half_line() -> None:
    """A limit on a file's size stands for the disk: /dev/full is no file that can be truncated."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "outbox.jsonl"
        outbox = Outbox(file)
        outbox.append({"number": 1})
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file.stat().st_size + 10, hard))
            with pytest.raises(OSError):
                outbox.append({"number": 2})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            signal.signal(signal.SIGXFSZ, handler)
        outbox.append({"number": 3})
        assert everything(outbox) == everything(Outbox(file)) == [{"number": 1}, {"number": 3}]
