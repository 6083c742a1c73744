"""Where a trial's time goes: seconds by part, and the tokens that were computed in them."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field

import torch


@dataclass
class Part:
    """What one kind of work has taken so far."""

    seconds: float = 0.0
    tokens: int = 0
    """Real tokens that went through the network, each as often as it did."""
    computed: int = 0
    """The same with padding."""
    ideal: float = 0.0
    """Seconds that their products with the weights would take at the peak of the device."""

    def count(self, mask: torch.Tensor, ideal: float) -> None:
        """Count a batch by its attention mask of shape (B, T), and the ideal seconds of each of its tokens."""
        self.tokens += int(mask.sum())
        self.computed += mask.numel()
        self.ideal += mask.numel() * ideal


@dataclass
class Clock:
    """Adds up parts by name. Each moment counts once: what is measured inside another part is not that part's."""

    parts: dict[str, Part] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    """Why time was spent that could have been saved, one sentence each."""
    _open: list[str] = field(default_factory=list)
    _since: float = 0.0

    @contextmanager
    def part(self, name: str) -> Iterator[Part]:
        """Measure the block as part `name`; no generator may yield inside, or its caller's time counts too."""
        self._lap()
        self._open.append(name)
        try:
            yield self.parts.setdefault(name, Part())
        finally:
            self._lap()
            self._open.pop()

    def note(self, sentence: str) -> None:
        """Say why time is spent that could have been saved; once is enough."""
        if sentence not in self.notes:
            self.notes.append(sentence)

    def _lap(self) -> None:
        now = time.perf_counter()
        if self._open:
            self.parts.setdefault(self._open[-1], Part()).seconds += now - self._since
        self._since = now

    def read(self) -> dict[str, dict[str, float]]:
        """All parts so far as plain values."""
        return {name: asdict(part) for name, part in self.parts.items()}
