"""Records a sweep in MLflow: one run for the sweep and a nested run for each trial, found by tag, never made twice.

A call writes an event to the outbox and returns; a thread delivers it. So no trial waits for MLflow, also while a
tracking server is away. The driver is the only writer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import sqlalchemy
from mlflow.exceptions import MlflowException

from search.provenance import provenance
from search.record.records import State
from search.record.trial_names import Key
from search.redaction import redact
from search.storage.outbox import Outbox
from search.storage.store_uri import check_reachable
from search.tracking.delivery import Delivery, RefusedError
from search.tracking.mlflow_events import (
    DatasetInfo,
    Event,
    decode,
    encode,
    ended,
    error_tags,
    reconciled,
    reported,
    started,
    text_logged,
)
from search.tracking.mlflow_runs import MlflowRuns
from search.tracking.system_metrics import SystemMetrics
from trainable.errors import ConfigError
from trainable.settings.values import Params

PATIENCE = 60.0
"""After this many seconds without any delivery, a wait for MLflow ends."""


class Tracker:
    """The MLflow runs of one sweep.

    Use it in a `with` block, whose end stops the delivery. Events that are left stay in the outbox; the next tracker on
    the same outbox delivers them first.
    """

    def __init__(
        self,
        uri: str,
        outbox: Path,
        sweep: str,
        sweep_id: str,
        system_metrics: bool = False,
        run_id: str | None = None,
        replay: Callable[[Key | None], Sequence[Event]] = lambda key: (),
    ) -> None:
        """Open the store, make its tables if they are missing, and start to deliver.

        Args:
            uri: a tracking URI; for an SQLite file the artifacts lie beside it, in `mlartifacts`.
            outbox: the file of waiting events, see `Outbox`.
            sweep: the sweep's name.
            sweep_id: the sweep's id; no other sweep has it, even one of the same name.
            system_metrics: record the driver machine's load in the sweep's run, every 10 s.
            run_id: the id of the sweep's run, if an earlier session opened it; then no call here waits for MLflow, and
                what it misses while it is away is delivered later.
            replay: the events of runs that MLflow has lost, see `MlflowRuns`.

        Raises:
            ConfigError: the URI cannot be opened; the message has no password in it.
        """
        self.uri = uri
        self._records_load = system_metrics
        self._load: SystemMetrics | None = None
        self._run_id = run_id
        with _opening(uri):
            if run_id is None:
                check_reachable(uri)
            self._runs = MlflowRuns(uri, sweep, sweep_id, replay)
            if run_id is None:
                self._runs.open()
        self._outbox = Outbox(outbox)
        self._delivery = Delivery(self._outbox, self._hand_over)

    def __enter__(self) -> Self:
        """The tracker itself; the constructor has opened everything."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Stop the delivery, without waiting."""
        self._end_load()
        self._delivery.stop()

    def start_sweep(self, params: Params, datasets: Sequence[DatasetInfo]) -> str:
        """Open the sweep's run, or that of an earlier session again, and return its id.

        Events that earlier sessions left in the outbox are delivered first. In a sweep's first session this call waits
        for MLflow, as no other does: a sweep whose run cannot be opened must not start. Git commit and versions become
        tags.

        Raises:
            ConfigError: if MLflow does not open the run.
        """
        self._put(started(None, params, provenance(), datasets))
        if self._run_id is None:
            self.wait()
            self._run_id = self._runs.sweep_run
        if self._run_id is None:
            raise _cannot_open(self.uri, self._delivery.trouble or " ".join(self._delivery.refused))
        if self._records_load:
            self._load = SystemMetrics(self._log_load)
        return self._run_id

    def start_trial(self, key: Key, params: Params, tags: Mapping[str, str]) -> None:
        """Open the trial's nested run, or its existing one again.

        Parameters that the run already has stay as they are: MLflow cannot change them.
        """
        self._put(started(key, params, tags))

    def log(self, key: Key, metrics: Mapping[str, float], step: int) -> None:
        """Write one report of a trial; a step that a resumed trial reports again is left out."""
        self._put(reported(key, metrics, step))

    def end_trial(
        self, key: Key, state: State, error: str | None = None, metrics: Mapping[str, float] | None = None
    ) -> None:
        """Close a trial's run: a stopped trial's as KILLED, a failed or lost one's as FAILED with its error.

        Args:
            key: the trial's key.
            state: the state in which it ended.
            error: the reason, if it failed or was lost.
            metrics: the values that its run shows from now on.
        """
        self._put(ended(key, state, metrics or {}, error_tags(error)))

    def reconcile(self, trials: Mapping[Key, tuple[State, str | None, Mapping[str, float]]]) -> None:
        """Close the runs of ended trials that are still RUNNING, as after a killed driver; make missing runs.

        Args:
            trials: by the trial's key its state, error and metrics, as `end_trial` takes them.
        """
        self._put(reconciled(trials))

    def end_sweep(self, state: State, metrics: Mapping[str, float], tags: Mapping[str, str]) -> None:
        """Close the sweep's run with its final metrics (the winner's scores, the hours used)."""
        self._end_load()
        self._put(ended(None, state, metrics, tags))

    def log_text(self, key: Key | None, text: str, name: str) -> None:
        """Store a text as the file `name` of a trial's run, or without a key of the sweep's run."""
        self._put(text_logged(key, text, name))

    def wait(self, patience: float = PATIENCE) -> bool:
        """Wait until all is delivered, or `patience` seconds pass without a delivery; returns whether all is."""
        return self._delivery.wait(patience)

    @property
    def run_id(self) -> str | None:
        """The id of the sweep's run; a new one after MLflow lost the run."""
        return self._runs.sweep_run or self._run_id

    @property
    def refused(self) -> Sequence[str]:
        """Why events were left out that MLflow refused; without secrets."""
        return tuple(self._delivery.refused)

    def _put(self, event: Event) -> None:
        self._delivery.put(encode(event))

    def _hand_over(self, texts: Sequence[str]) -> None:
        try:
            events = [decode(text) for text in texts]
        except ValueError as error:  # damaged on the disk, or of a newer version
            raise RefusedError(f"an event cannot be read: {error}") from None
        self._runs.apply(events)

    def _log_load(self, metrics: Mapping[str, float]) -> None:
        # Seconds since 1970 as steps: they keep growing from session to session.
        self._put(reported(None, metrics, step=int(time.time())))

    def _end_load(self) -> None:
        if self._load:
            self._load.end()
            self._load = None


def check_uri(uri: str) -> None:
    """Check that a tracking URI answers; no table is made there.

    Raises:
        ConfigError: if it does not; the message has no password in it.
    """
    with _opening(uri):
        check_reachable(uri)


@contextmanager
def _opening(uri: str) -> Iterator[None]:
    try:
        yield
    except (MlflowException, sqlalchemy.exc.SQLAlchemyError, ImportError, OSError) as error:
        raise _cannot_open(uri, str(getattr(error, "reason", error))) from None


def _cannot_open(uri: str, reason: str) -> ConfigError:
    first = (redact(reason).strip().splitlines() or ["no reason given"])[0].partition(". ")[0]
    return ConfigError(
        f"sweep.tracking_uri: {redact(uri)!r} cannot be opened ({first}); give an SQLite file "
        "(sqlite:///runs/mlflow.db), a database that answers, or the address of an MLflow server"
    )
