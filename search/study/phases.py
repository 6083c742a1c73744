"""Measures the driver's phases: where a sweep's time goes outside of its trials."""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import psutil  # type: ignore[import-untyped]  # its stubs are a package of their own

from search.study.sweep_study import SweepStudy

PHASES = "phases"
"""Under this name the study notes them."""


class Phases:
    """Seconds of a sweep by phase (`start`, `search`, `finish`), over all its sessions; kept in the study."""

    def __init__(self, study: SweepStudy) -> None:
        """Begin with the phase `start`, in which this process has been since it was born."""
        self._study = study
        self._seconds = Counter[str](study.user_attr(PHASES, {}))
        self._add("start", time.time() - psutil.Process().create_time())

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Measure the block."""
        begin = time.monotonic()
        try:
            yield
        finally:
            self._add(name, time.monotonic() - begin)

    def read(self) -> dict[str, float]:
        """The phases so far."""
        return dict(self._seconds)

    def _add(self, name: str, seconds: float) -> None:
        self._seconds[name] += seconds  # type: ignore[assignment]  # a Counter takes any number
        self._study.set_user_attr(PHASES, dict(self._seconds))
