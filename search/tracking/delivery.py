"""Delivers the events of an outbox in a thread of its own, and tries again while the receiver is away."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from functools import partial

from search.redaction import redact
from search.storage.outbox import Outbox

_log = logging.getLogger(__name__)

LARGEST_BATCH = 64
"""The largest number of events in one delivery."""
_PAUSE = 0.2  # seconds after a delivery that emptied the outbox: the next events are delivered together
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 15.0  # seconds between two tries while the receiver is away


class RefusedError(Exception):
    """The receiver answered, and rejected an event as invalid."""


class Delivery:
    """Hands the events of an outbox over, in order, each at least once.

    After a failure the same events are handed over again, after a wait that doubles up to 15 s. An event that is
    refused twice when handed over alone is left out, and its reason is added to `refused`; so later events can follow.

    Args:
        outbox: where events wait; closed by `stop`.
        hand_over: takes events, or raises; it may get an event again that it has taken. Called from one thread only.
    """

    def __init__(self, outbox: Outbox, hand_over: Callable[[Sequence[str]], None]) -> None:
        self._outbox, self._hand_over = outbox, hand_over
        self.trouble = ""
        """Why the last try failed, without secrets; empty after a success."""
        self.refused: list[str] = []
        """Why events were refused, without secrets."""
        self._size = LARGEST_BATCH
        self._refused_alone = False
        self._changed = threading.Condition()
        self._stopped = threading.Event()
        self._deliveries = 0
        threading.Thread(target=self._run, name="delivery", daemon=True).start()

    def put(self, event: str) -> None:
        """Add an event, see `Outbox.append`; returns as soon as it is on the disk."""
        self._outbox.append(event)
        with self._changed:
            self._changed.notify_all()

    def wait(self, patience: float) -> bool:
        """Wait until all events are delivered.

        Args:
            patience: give up after this many seconds without any delivery.

        Returns:
            Whether all events were delivered.
        """
        with self._changed:
            while len(self._outbox):
                if not self._changed.wait_for(partial(self._went_on, self._deliveries), patience):
                    return False
        return True

    def stop(self) -> None:
        """Close the outbox and return at once; the thread ends after a delivery that it has begun."""
        self._stopped.set()
        self._outbox.close()
        with self._changed:
            self._changed.notify_all()

    def _run(self) -> None:
        wait = _FIRST_WAIT
        while self._next_is_there():
            if self._deliver():
                wait = _FIRST_WAIT
                self._stopped.wait(0 if len(self._outbox) else _PAUSE)
            else:
                self._stopped.wait(wait)
                wait = min(2 * wait, _LONGEST_WAIT)

    def _next_is_there(self) -> bool:
        """Wait for an event; False after `stop`."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._outbox) or self._stopped.is_set())
        return not self._stopped.is_set()

    def _went_on(self, since: int) -> bool:
        return self._deliveries > since

    def _deliver(self) -> bool:
        """Hand over the next events, fewer at a time after a failure; returns whether they were taken."""
        waiting: Sequence[tuple[int, str]] = ()
        try:
            waiting = self._outbox.first(self._size)
            if not waiting:  # closed in the meantime
                return False
            self._hand_over_or_leave_out([event for _, event in waiting])
            self._outbox.delivered(waiting[-1][0])
        except RefusedError:
            self._size, self._refused_alone = 1, len(waiting) == 1
            return False
        except Exception as error:  # the end of a thread; artifact stores raise the errors of many libraries
            self._size = 1
            self._say_trouble(redact(f"{type(error).__name__}: {error}"))
            return False
        self._size, self._refused_alone = min(2 * self._size, LARGEST_BATCH), False
        self._say_trouble("")
        with self._changed:
            self._deliveries += 1
            self._changed.notify_all()
        return True

    def _hand_over_or_leave_out(self, events: Sequence[str]) -> None:
        try:
            self._hand_over(events)
        except RefusedError as error:
            if not self._refused_alone:
                raise
            self.refused.append(redact(str(error)))
            _log.warning("an event is left out: %s", self.refused[-1])

    def _say_trouble(self, trouble: str) -> None:
        if bool(trouble) != bool(self.trouble):
            _log.warning("events wait on disk: %s" if trouble else "events are delivered again%s", trouble)
        self.trouble = trouble
