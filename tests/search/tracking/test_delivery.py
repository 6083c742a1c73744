import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from search.storage.outbox import Outbox, count_waiting
from search.tracking.delivery import Delivery, RefusedError


class Receiver:
    """Accepts events, but fails its first `failures` calls, and refuses the event `bad`."""

    def __init__(self, failures: int = 0) -> None:
        self.taken: list[str] = []
        self.sizes: list[int] = []
        self.failures = failures

    def __call__(self, events: Sequence[str]) -> None:
        if self.failures:
            self.failures -= 1
            raise ConnectionError("no answer from http://bob:hunter2@host/api")
        for event in events:
            if event == "bad":
                raise RefusedError("postgresql://bob:hunter2@host takes no such event")
        self.taken += events
        self.sizes.append(len(events))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


def numbered(*numbers: int) -> list[str]:
    return [str(number) for number in numbers]


def test_events_arrive_in_order_and_leave_nothing_behind(file: Path) -> None:
    receiver = Receiver()
    delivery = Delivery(Outbox(file), receiver)
    for event in numbered(*range(100)):
        delivery.put(event)
    assert delivery.wait(60)
    delivery.stop()
    assert receiver.taken == numbered(*range(100))
    assert len(receiver.sizes) < 100  # many at a time
    assert count_waiting(file) == 0


def test_events_of_an_earlier_process_come_first(file: Path) -> None:
    for event in numbered(1, 2):
        Outbox(file).append(event)
    receiver = Receiver()
    delivery = Delivery(Outbox(file), receiver)
    delivery.put("3")
    assert delivery.wait(60)
    delivery.stop()
    assert receiver.taken == numbered(1, 2, 3)


def test_delivery_is_tried_again_and_an_error_is_logged_once_without_secrets(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    receiver = Receiver(failures=2)
    delivery = Delivery(Outbox(file), receiver)
    for event in numbered(1, 2, 3):
        delivery.put(event)
    assert delivery.wait(60)
    delivery.stop()
    assert receiver.taken == numbered(1, 2, 3)
    assert delivery.last_error == ""
    messages = [record.getMessage() for record in caplog.records]
    assert messages == [
        "events wait on disk: ConnectionError: no answer from http://***@host/api",
        "events are delivered again",
    ]


def test_a_wait_without_delivery_ends_and_the_events_stay(file: Path) -> None:
    receiver = Receiver(failures=1_000)
    delivery = Delivery(Outbox(file), receiver)
    delivery.put("1")
    assert not delivery.wait(0.1)
    assert delivery.last_error == "ConnectionError: no answer from http://***@host/api"
    delivery.stop()
    assert count_waiting(file) == 1


def test_a_refused_event_does_not_block_others(file: Path) -> None:
    with_bad = [*numbered(1, 2), "bad", *numbered(4, 5)]
    for event in with_bad:
        Outbox(file).append(event)
    receiver = Receiver()
    delivery = Delivery(Outbox(file), receiver)
    assert delivery.wait(60)
    delivery.stop()
    assert receiver.taken == numbered(1, 2, 4, 5)
    assert delivery.refused == ["postgresql://***@host takes no such event"]


def test_events_whose_delivery_has_begun_at_a_stop_are_delivered_again(file: Path) -> None:
    """It is not known whether they have arrived."""
    begun, may_end, done = threading.Event(), threading.Event(), threading.Event()

    def slow(events: Sequence[str]) -> None:
        begun.set()
        may_end.wait(60)
        done.set()

    delivery = Delivery(Outbox(file), slow)
    delivery.put("1")
    begun.wait(60)
    delivery.stop()
    successor = Outbox(file)
    may_end.set()
    done.wait(60)
    assert successor.oldest(10) == Outbox(file).oldest(10) == [(1, "1")]
