"""Records a sweep in MLflow: one run for the sweep and a nested run for each trial, found by tag, never created twice.

A call writes an event to the outbox and returns; a thread delivers the event. So no trial waits for MLflow, even when a
tracking server does not answer. The driver is the only writer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
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
    FileLogged,
    TrialResult,
    decode,
    encode,
    ended,
    error_tags,
    file_logged,
    note_written,
    ranked,
    reconciled,
    reported,
    started,
    text_logged,
    view_saved,
)
from search.tracking.mlflow_runs import MlflowRuns
from search.tracking.system_metrics import SystemMetrics
from trainable.errors import ConfigError
from trainable.settings.values import Params

DELIVERY_TIMEOUT_SECONDS = 60.0
"""A wait for MLflow ends after this many seconds without any delivery."""

_RESULTS_PER_EVENT = 100  # so that no delivery takes long


class Tracker:
    """The MLflow runs of one sweep.

    Use it in a `with` block; the end of the block stops the delivery. Events that are not delivered stay in the outbox;
    the next tracker of the same outbox delivers them first.
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
        """Open the store, create missing tables, and start to deliver events.

        Args:
            uri: a tracking URI; artifacts of an SQLite file are stored beside it, in `mlartifacts`.
            outbox: the file of waiting events, see `Outbox`, in the sweep's folder.
            sweep: the sweep's name.
            sweep_id: the sweep's id; no other sweep has it, even one of the same name.
            system_metrics: whether to record the load of the driver's machine in the sweep's run, every 10 s.
            run_id: the id of the sweep's run, if an earlier session opened it; then no call here waits for MLflow, and
                events are delivered as soon as MLflow answers.
            replay: returns the events of runs that MLflow has lost, see `MlflowRuns`.

        Raises:
            ConfigError: if the URI cannot be opened; the message contains no password.
        """
        self.uri = uri
        self._record_system_metrics = system_metrics
        self._system_metrics: SystemMetrics | None = None
        self._run_id = run_id
        with _translated_errors(uri):
            if run_id is None:
                check_reachable(uri)
            self._runs = MlflowRuns(uri, sweep, sweep_id, replay)
            if run_id is None:
                self._runs.open()
        self._outbox, self._folder = Outbox(outbox), outbox.parent
        self._delivery = Delivery(self._outbox, self._send)

    def __enter__(self) -> Self:
        """Return the tracker itself; the constructor has opened everything."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Stop the delivery, without waiting for events."""
        self._stop_system_metrics()
        self._delivery.stop()

    def start_sweep(self, params: Params, datasets: Sequence[DatasetInfo]) -> str:
        """Open the sweep's run, or reopen that of an earlier session, and return its id.

        Events that earlier sessions left in the outbox are delivered first. Only this call, in a sweep's first session,
        waits for MLflow, because a sweep whose run cannot be opened must not start. The git commit and the versions of
        packages become tags.

        Raises:
            ConfigError: if MLflow does not open the run.
        """
        self._put(started(None, params, provenance(), datasets))
        if self._run_id is None:
            self.wait()
            self._run_id = self._runs.sweep_run
        if self._run_id is None:
            raise _cannot_open(self.uri, self._delivery.last_error or " ".join(self._delivery.refused))
        if self._record_system_metrics:
            self._system_metrics = SystemMetrics(self._log_system_metrics)
        return self._run_id

    def start_trial(self, key: Key, params: Params, tags: Mapping[str, str]) -> None:
        """Open the trial's nested run, or reopen the existing one.

        Parameters of an existing run stay unchanged, because MLflow cannot change them.
        """
        self._put(started(key, params, tags))

    def log(self, key: Key, metrics: Mapping[str, float], step: int) -> None:
        """Write one report of a trial; a step that a resumed trial reports again is skipped."""
        self._put(reported(key, metrics, step))

    def end_trial(
        self, key: Key, state: State, error: str | None = None, metrics: Mapping[str, float] | None = None
    ) -> None:
        """End a trial's run: as KILLED if the trial was stopped, as FAILED with its error if it failed or was lost.

        Args:
            key: the trial's key.
            state: the state in which it ended.
            error: the reason, if the trial failed or was lost.
            metrics: the values that its run shows from now on.
        """
        self._put(ended(key, state, metrics or {}, error_tags(error)))

    def reconcile(self, trials: Mapping[Key, tuple[State, str | None, Mapping[str, float]]]) -> None:
        """End the runs of ended trials that are still RUNNING, as after a killed driver; create missing runs.

        Args:
            trials: state, error and metrics by the trial's key, as for `end_trial`.
        """
        self._put(reconciled(trials))

    def end_sweep(self, state: State, metrics: Mapping[str, float], tags: Mapping[str, str]) -> None:
        """End the sweep's run with its final metrics (the winner's scores, the hours used)."""
        self._stop_system_metrics()
        self._put(ended(None, state, metrics, tags))

    def log_text(self, key: Key | None, text: str, name: str) -> None:
        """Store a text as the file `name` of a trial's run; without a key, of the sweep's run."""
        self._put(text_logged(key, text, name))

    def rank(self, results: Sequence[TrialResult]) -> None:
        """Show the results of trials in their runs."""
        for start in range(0, len(results), _RESULTS_PER_EVENT):
            self._put(ranked(results[start : start + _RESULTS_PER_EVENT]))

    def write_note(self, text: str) -> None:
        """Describe the sweep's run in Markdown, see `NoteWritten`."""
        self._put(note_written(text))

    def save_view(self, state: str) -> None:
        """Store how MLflow's page shows the sweep's runs, see `search.tracking.saved_view`."""
        self._put(view_saved(state))

    def log_file(self, key: Key | None, path: str) -> None:
        """Store a file of the sweep's folder, given by its path there, in a trial's run; without a key, the sweep's."""
        self._put(file_logged(key, path))

    def wait(self, timeout: float = DELIVERY_TIMEOUT_SECONDS) -> bool:
        """Wait until all events are delivered, at most `timeout` seconds for each delivery; return whether all are."""
        return self._delivery.wait(timeout)

    @property
    def run_id(self) -> str | None:
        """Return the id of the sweep's run; it changes if MLflow loses the run."""
        return self._runs.sweep_run or self._run_id

    @property
    def refused(self) -> Sequence[str]:
        """Return the reasons of events that MLflow refused and that were skipped, without secrets."""
        return tuple(self._delivery.refused)

    def _put(self, event: Event) -> None:
        self._delivery.put(encode(event))

    def _send(self, texts: Sequence[str]) -> None:
        try:
            events = [decode(text) for text in texts]
        except ValueError as error:  # the event is damaged on the disk, or from a newer version
            raise RefusedError(f"an event cannot be read: {error}") from None
        self._runs.apply([self._located(event) if isinstance(event, FileLogged) else event for event in events])

    def _located(self, event: FileLogged) -> FileLogged:
        """Return the event with the present path of its file."""
        file = self._folder / event.path
        if not file.is_file():  # a user has deleted it
            raise RefusedError(f"{file}: no such file any more")
        return replace(event, path=str(file))

    def _log_system_metrics(self, metrics: Mapping[str, float]) -> None:
        # The steps are seconds since 1970, so that they also grow from one session to the next.
        self._put(reported(None, metrics, step=int(time.time())))

    def _stop_system_metrics(self) -> None:
        if self._system_metrics:
            self._system_metrics.stop()
            self._system_metrics = None


def check_uri(uri: str) -> None:
    """Check that a tracking URI answers, without creating tables.

    Raises:
        ConfigError: if it does not answer; the message contains no password.
    """
    with _translated_errors(uri):
        check_reachable(uri)


@contextmanager
def _translated_errors(uri: str) -> Iterator[None]:
    """Turn an error of opening a store into a `ConfigError`."""
    try:
        yield
    except (MlflowException, sqlalchemy.exc.SQLAlchemyError, ImportError, OSError) as error:
        raise _cannot_open(uri, str(getattr(error, "reason", error))) from None


def _cannot_open(uri: str, reason: str) -> ConfigError:
    sentence = (redact(reason).strip().splitlines() or ["no reason given"])[0].partition(". ")[0]
    return ConfigError(
        f"sweep.tracking_uri: {redact(uri)!r} cannot be opened ({sentence}); give an SQLite file "
        "(sqlite:///runs/mlflow.db), a database that answers, or the address of an MLflow server"
    )
