"""Each moment counts for one part only."""

import time

import pytest
import torch

from trainable import clock
from trainable.clock import Clock


@pytest.fixture
def tick(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that only the test moves."""
    now = [0.0]
    monkeypatch.setattr(clock.time, "perf_counter", lambda: now[0])
    return now


def test_an_inner_part_stops_the_outer_one(tick: list[float]) -> None:
    watch = Clock()
    with watch.part("outer"):
        tick[0] += 1
        with watch.part("inner"):
            tick[0] += 10
        tick[0] += 100
    tick[0] += 1000  # outside of all parts
    with watch.part("inner"):
        tick[0] += 10000
    assert {name: part["seconds"] for name, part in watch.read().items()} == {"outer": 101, "inner": 10010}


def test_an_exception_ends_its_part(tick: list[float]) -> None:
    watch = Clock()
    with pytest.raises(KeyError), watch.part("a"):
        tick[0] += 1
        raise KeyError
    tick[0] += 1
    assert watch.read()["a"]["seconds"] == 1


def test_padding_is_counted_apart_from_tokens() -> None:
    with Clock().part("a") as part:
        part.count(torch.tensor([[1, 1, 0], [1, 0, 0]]), 0.5)
        part.count(torch.tensor([[1]]), 2.0)
    assert (part.tokens, part.computed, part.ideal) == (4, 7, 5.0)
    assert part.seconds <= time.perf_counter()
