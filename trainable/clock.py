"""Measures how a trial spends its time: seconds by part of the work, and the tokens computed in them."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field

import torch


@dataclass
class Part:
    """Time and tokens of one part of the work so far."""

    seconds: float = 0.0
    tokens: int = 0
    """Tokens that went through the network, padding not included; repeated ones count each time."""
    computed: int = 0
    """Tokens that went through the network, padding included."""
    ideal: float = 0.0
    """Seconds that the products of these tokens with the weights would take at the device's peak speed."""

    def count(self, mask: torch.Tensor, ideal: float) -> None:
        """Count a batch by its attention mask of shape (B, T), and the ideal seconds of each of its tokens."""
        self.tokens += int(mask.sum())
        self.computed += mask.numel()
        self.ideal += mask.numel() * ideal


@dataclass
class Clock:
    """Adds up time by part. Time inside a nested part counts for the nested part only."""

    parts: dict[str, Part] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    """Reasons why time could not be saved, one sentence each."""
    _open: list[str] = field(default_factory=list)
    _since: float = 0.0

    @contextmanager
    def part(self, name: str) -> Iterator[Part]:
        """Measure the block as part `name`; do not yield inside it, as the caller's time would count too."""
        self._lap()
        self._open.append(name)
        try:
            yield self.parts.setdefault(name, Part())
        finally:
            self._lap()
            self._open.pop()

    def note(self, sentence: str) -> None:
        """Keep a reason why time could not be saved, unless it is already in the notes."""
        if sentence not in self.notes:
            self.notes.append(sentence)

    def _lap(self) -> None:
        now = time.perf_counter()
        if self._open:
            self.parts.setdefault(self._open[-1], Part()).seconds += now - self._since
        self._since = now

    def read(self) -> dict[str, dict[str, float]]:
        """Return all parts so far as plain values."""
        return {name: asdict(part) for name, part in self.parts.items()}
