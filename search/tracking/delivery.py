"""Delivers the events of an outbox in a separate thread, and tries again while the receiver does not answer."""

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
_PAUSE = 0.2  # seconds after a delivery that emptied the outbox, so that the next events are delivered together
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 15.0  # seconds between two tries while the receiver does not answer


class RefusedError(Exception):
    """The receiver answered and rejected an event as invalid."""


class Delivery:
    """Delivers the events of an outbox to a receiver, in order, each at least once.

    After a failure the same events are sent again, after a wait that doubles up to 15 s. An event that is refused twice
    when it is sent alone is skipped, so that later events can follow; its reason is added to `refused`.

    Args:
        outbox: the waiting events; `stop` closes it.
        send: gives events to the receiver, or raises. It may get the same event twice. One thread calls it.
    """

    def __init__(self, outbox: Outbox, send: Callable[[Sequence[str]], None]) -> None:
        self._outbox, self._send = outbox, send
        self.last_error = ""
        """Why the last try failed, without secrets; empty after a success."""
        self.refused: list[str] = []
        """The reasons of all refused events, without secrets."""
        self._batch_size = LARGEST_BATCH
        self._refused_alone = False
        self._changed = threading.Condition()
        self._stopped = threading.Event()
        self._deliveries = 0
        threading.Thread(target=self._run, name="delivery", daemon=True).start()

    def put(self, event: str) -> None:
        """Add an event, see `Outbox.append`; when this returns, the event is on the disk."""
        self._outbox.append(event)
        with self._changed:
            self._changed.notify_all()

    def wait(self, timeout: float) -> bool:
        """Wait until all events are delivered.

        Args:
            timeout: give up after this many seconds without any delivery.

        Returns:
            Whether all events were delivered.
        """
        with self._changed:
            while len(self._outbox):
                if not self._changed.wait_for(partial(self._has_delivered_since, self._deliveries), timeout):
                    return False
        return True

    def stop(self) -> None:
        """Close the outbox and return at once; the thread completes a delivery that it has begun, then ends."""
        self._stopped.set()
        self._outbox.close()
        with self._changed:
            self._changed.notify_all()

    def _run(self) -> None:
        wait = _FIRST_WAIT
        while self._wait_for_event():
            if self._deliver():
                wait = _FIRST_WAIT
                self._stopped.wait(0 if len(self._outbox) else _PAUSE)
            else:
                self._stopped.wait(wait)
                wait = min(2 * wait, _LONGEST_WAIT)

    def _wait_for_event(self) -> bool:
        """Wait until there is an event and return True; return False after `stop`."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._outbox) or self._stopped.is_set())
        return not self._stopped.is_set()

    def _has_delivered_since(self, deliveries: int) -> bool:
        return self._deliveries > deliveries

    def _deliver(self) -> bool:
        """Send the next events, only one after a failure; return whether the receiver accepted them."""
        waiting: Sequence[tuple[int, str]] = ()
        try:
            waiting = self._outbox.oldest(self._batch_size)
            if not waiting:  # the outbox was closed in the meantime
                return False
            self._send_or_skip([event for _, event in waiting])
            self._outbox.remove_delivered(waiting[-1][0])
        except RefusedError:
            self._batch_size, self._refused_alone = 1, len(waiting) == 1
            return False
        except Exception as error:  # the thread must not end; artifact stores raise errors of many libraries
            self._batch_size = 1
            self._set_last_error(redact(f"{type(error).__name__}: {error}"))
            return False
        self._batch_size, self._refused_alone = min(2 * self._batch_size, LARGEST_BATCH), False
        self._set_last_error("")
        with self._changed:
            self._deliveries += 1
            self._changed.notify_all()
        return True

    def _send_or_skip(self, events: Sequence[str]) -> None:
        try:
            self._send(events)
        except RefusedError as error:
            if not self._refused_alone:
                raise
            self.refused.append(redact(str(error)))
            _log.warning("MLflow refused an event, which is skipped: %s", self.refused[-1])

    def _set_last_error(self, error: str) -> None:
        """Keep the error of a try, and log when the receiver stops answering or answers again."""
        if bool(error) != bool(self.last_error):
            _log.warning("events wait on disk: %s" if error else "events are delivered again%s", error)
        self.last_error = error
