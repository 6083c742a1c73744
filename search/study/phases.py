"""Measures how long the driver spends in each phase of a sweep (`start`, `search`, `finish`)."""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import psutil  # type: ignore[import-untyped]  # its stubs are a separate package

from search.study.sweep_study import SweepStudy

PHASES = "phases"
"""User attribute of the study: seconds by phase."""


class Phases:
    """Seconds of a sweep by phase, over all its sessions; stored in the study."""

    def __init__(self, study: SweepStudy) -> None:
        """Add the time since this process began to the phase `start`."""
        self._study = study
        self._seconds = Counter[str](study.user_attr(PHASES, {}))
        self._add("start", time.time() - psutil.Process().create_time())

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add the duration of the `with` block to a phase."""
        begin = time.monotonic()
        try:
            yield
        finally:
            self._add(name, time.monotonic() - begin)

    def read(self) -> dict[str, float]:
        """Return the seconds by phase so far."""
        return dict(self._seconds)

    def _add(self, name: str, seconds: float) -> None:
        self._seconds[name] += seconds  # type: ignore[assignment]  # a Counter takes any number
        self._study.set_user_attr(PHASES, dict(self._seconds))
