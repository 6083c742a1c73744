"""Applies a sweep's events to its runs in MLflow; applying an event again changes nothing.

It uses only `MlflowClient`: no active run, no autologging, no global state.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from itertools import groupby

from mlflow import MlflowClient, entities
from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException

from search.record.records import State
from search.record.trial_names import Key, trial_name
from search.storage.store_uri import artifact_location, correct_artifact_paths
from search.tracking.delivery import RefusedError
from search.tracking.experiment import open_experiment, save_view
from search.tracking.mlflow_events import (
    DatasetInput,
    Ended,
    Event,
    FileLogged,
    NoteWritten,
    Ranked,
    Reconciled,
    Reported,
    Started,
    TextLogged,
    TrialEnd,
    TrialResult,
    ViewSaved,
)
from search.tracking.mlflow_internals import reopen_changed_file
from search.tracking.run_results import NOTE, show_result, with_links
from search.tracking.run_tags import ERROR, KIND, STATE, SWEEP, SWEEP_ID, TRIAL, key_of_run

_PARENT = "mlflow.parentRunId"
_STATUS = {State.FINISHED: "FINISHED", State.STOPPED: "KILLED", State.FAILED: "FAILED", State.LOST: "FAILED"}
_RUNS_PER_PAGE, _PARAMS_PER_REQUEST, _METRICS_PER_REQUEST = 10_000, 100, 1000


class MlflowRuns:
    """The runs of one sweep: its own run has the key None, the run of a trial has the trial's key.

    MLflow shows the last value of a metric. So the metrics of a run's end are written again after its last report, and
    an ended run shows these. All reports keep their steps, so the charts keep their curves.

    Runs are found by tag. A run is missing if its trial never started, or if a user deleted it, its experiment or the
    whole file. A missing run is created from the replay; together with the sweep's own run, the missing runs of its
    trials are created. After each failure of MLflow the runs are looked up again, as part of a failed request may have
    arrived.

    Args:
        uri: the tracking URI; artifacts of an SQLite file are stored beside it, in `mlartifacts`.
        sweep: the sweep's name.
        sweep_id: the sweep's id; no other sweep has it, even one of the same name.
        replay: returns the events of a trial's run; for the key None, of the sweep's own run and all its trials' runs.
    """

    def __init__(
        self, uri: str, sweep: str, sweep_id: str, replay: Callable[[Key | None], Sequence[Event]] = lambda key: ()
    ) -> None:
        self._uri, self._sweep, self._sweep_id, self._replay = uri, sweep, sweep_id, replay
        reopen_changed_file(uri)
        self._client = MlflowClient(uri)
        self._ids: dict[Key | None, str] = {}
        self._runs_unknown = True
        self._steps: dict[Key | None, dict[str, int]] = {}  # key of the run -> metric -> last written step

    def open(self) -> None:
        """Find the experiment, or create it; `apply` does this too.

        Raises:
            MlflowException: if it can be neither found nor created.
        """
        correct_artifact_paths(self._uri)
        self._experiment = open_experiment(self._client, artifact_location(self._uri))

    def apply(self, events: Sequence[Event]) -> None:
        """Apply events in their order; consecutive reports become one request for each run.

        Raises:
            RefusedError: if MLflow rejects an event as invalid.
            MlflowException: if MLflow fails in another way.
        """
        try:
            if reopen_changed_file(self._uri) or self._runs_unknown:
                self._find_runs()
            self._apply(events)
        except BaseException as error:
            self._runs_unknown = True
            if isinstance(error, MlflowException) and error.error_code == "INVALID_PARAMETER_VALUE":
                raise RefusedError(str(error)) from None
            raise

    @property
    def sweep_run(self) -> str | None:
        """Return the id of the sweep's own run, or None before it was found or created."""
        return self._ids.get(None)

    def _apply(self, events: Iterable[Event]) -> None:
        for are_reports, group in groupby(events, key=lambda event: isinstance(event, Reported)):
            if are_reports:
                self._report([event for event in group if isinstance(event, Reported)])
            else:
                for event in group:
                    self._apply_one(event)

    def _apply_one(self, event: Event) -> None:
        match event:
            case Started():
                self._start(event)
            case Reported():
                self._report([event])
            case Ended():
                self._end(event.trial, event.time, event.state, event.metrics, event.tags)
            case Reconciled():
                self._reconcile(event.time, event.states)
            case TextLogged():
                self._client.log_text(self._run_id(event.trial, event.time), event.text, event.name)
            case Ranked():
                self._rank(event.time, event.results)
            case NoteWritten():
                self._write_note(event.time, event.text)
            case ViewSaved():
                save_view(self._client, self._experiment, self._sweep, self._sweep_id, event.time, event.state)
            case FileLogged():
                self._client.log_artifact(self._run_id(event.trial, event.time), event.path)

    def _start(self, event: Started) -> None:
        """Open a run, or reopen an ended one; its existing parameters and tags stay unchanged."""
        sweep_run = self._run_id(None, event.time)  # this creates all missing runs
        run_id = self._ids.get(event.trial) or self._create(event.trial, event.time, sweep_run)
        run = self._client.get_run(run_id)
        if run.info.status != "RUNNING":
            self._client.update_run(run_id, status="RUNNING")
            for tag in {STATE, ERROR} & run.data.tags.keys():  # the end was not final
                self._client.delete_tag(run_id, tag)
        new_params = [Param(name, value) for name, value in event.params.items() if name not in run.data.params]
        new_tags = [RunTag(name, value) for name, value in event.tags.items() if name not in run.data.tags]
        for start in range(0, max(len(new_params), 1), _PARAMS_PER_REQUEST):
            self._client.log_batch(run_id, params=new_params[start : start + _PARAMS_PER_REQUEST], tags=new_tags)
        if event.datasets:
            self._client.log_inputs(run_id, [_to_mlflow(data) for data in event.datasets])

    def _report(self, events: Iterable[Reported]) -> None:
        """Write reports, except steps that a metric already has, as a resumed trial reports some steps again."""
        batches: dict[str, list[Metric]] = defaultdict(list)
        for event in events:
            run_id, steps = self._run_id(event.trial, event.time), self._last_steps(event.trial)
            for name, value in event.metrics.items():
                if event.step > steps.get(name, -1):
                    batches[run_id].append(Metric(name, value, event.time, event.step))
                    steps[name] = event.step
        for run_id, batch in batches.items():
            for start in range(0, len(batch), _METRICS_PER_REQUEST):
                self._client.log_batch(run_id, metrics=batch[start : start + _METRICS_PER_REQUEST])

    def _end(
        self, key: Key | None, time: int, state: State, metrics: Mapping[str, float], tags: Mapping[str, str]
    ) -> None:
        run_id = self._run_id(key, time)
        if metrics:
            self._show_metrics(key, time, self._client.get_run(run_id), metrics)
        run_tags = [RunTag(name, value) for name, value in {STATE: state.value, **tags}.items()]
        self._client.log_batch(run_id, tags=run_tags)
        self._client.set_terminated(run_id, status=_STATUS[state], end_time=time)

    def _show_metrics(self, key: Key | None, time: int, run: Run, metrics: Mapping[str, float]) -> None:
        """Make the run show these metrics: write each that differs from the shown value, after all its other values."""
        differing = {name: v for name, v in metrics.items() if not _equal(v, run.data.metrics.get(name))}
        if differing:
            steps = self._last_steps(key)
            # MLflow shows the later of two values at the same step.
            last = [Metric(name, value, time + 1, steps.get(name, 0)) for name, value in differing.items()]
            self._client.log_batch(run.info.run_id, metrics=last)

    def _reconcile(self, time: int, ends: Sequence[TrialEnd]) -> None:
        """End the runs of ended trials that a killed driver left open, or did not open.

        Runs that have already ended get the metrics of their trial's end, which earlier versions did not write.
        """
        found = self._find_runs()
        if None not in found:
            self._run_id(None, time)  # this creates all missing runs
            found = self._find_runs()
        for end in ends:
            if end.trial not in found or found[end.trial].info.status == "RUNNING":
                self._end(end.trial, time, end.state, end.metrics, end.tags)
            else:
                self._show_metrics(end.trial, time, found[end.trial], end.metrics)

    def _rank(self, time: int, results: Sequence[TrialResult]) -> None:
        """Write the results of trials into tags, names and the metric `rank` of their runs."""
        for result in results:
            self._run_id(result.trial, time)  # this creates a missing run
        found = self._find_runs()
        for result in results:
            show_result(self._client, found[result.trial], trial_name(result.trial), result, time)

    def _write_note(self, time: int, text: str) -> None:
        run_id = self._run_id(None, time)
        runs = {str(key): f"#/experiments/{self._experiment}/runs/{of}" for key, of in self._ids.items()}
        self._client.set_tag(run_id, NOTE, with_links(text, runs))

    def _create(self, key: Key | None, time: int, parent: str | None = None) -> str:
        tags = {SWEEP: self._sweep, SWEEP_ID: self._sweep_id, KIND: "sweep" if key is None else "trial"}
        if key is not None:
            tags |= {TRIAL: str(key), _PARENT: str(parent)}
        name = self._sweep if key is None else trial_name(key)
        run = self._client.create_run(self._experiment, start_time=time, tags=tags, run_name=name)
        self._ids[key], self._steps[key] = str(run.info.run_id), {}
        return self._ids[key]

    def _recreate(self, key: Key | None, time: int) -> None:
        """Create a missing run from its replay; for the sweep's own run, also the missing runs of its trials."""
        existing = dict(self._ids)
        events = [event for event in self._replay(key) if event.trial not in existing]
        parent = None if key is None else existing[None]
        new_id = self._create(key, events[0].time if events else time, parent)
        if key is None:
            for run_id in existing.values():  # the runs of trials whose parent run was deleted
                self._client.set_tag(run_id, _PARENT, new_id)
        self._apply(events)

    def _last_steps(self, key: Key | None) -> dict[str, int]:
        if key not in self._steps:
            run_id, history = self._ids[key], self._client.get_metric_history
            names = self._client.get_run(run_id).data.metrics
            self._steps[key] = {name: max(metric.step for metric in history(run_id, name)) for name in names}
        return self._steps[key]

    def _run_id(self, key: Key | None, time: int) -> str:
        """Return the id of the run with that key; create the run if it is missing."""
        for missing in (None, key):
            if missing not in self._ids:
                self._recreate(missing, time)
        return self._ids[key]

    def _find_runs(self) -> dict[Key | None, Run]:
        """Look up which runs exist, and return them by key.

        If a key has two runs, as after a request that timed out but arrived, the run with fewer values is deleted.
        """
        self.open()
        query = f"tags.`{SWEEP_ID}` = '{self._sweep_id}'"
        found: dict[Key | None, list[Run]] = defaultdict(list)
        token: str | None = ""
        while token is not None:
            experiments, page_token = [self._experiment], token or None
            page = self._client.search_runs(experiments, query, max_results=_RUNS_PER_PAGE, page_token=page_token)
            for run in page:
                found[key_of_run(run)].append(run)
            token = page.token or None
        for runs in found.values():
            runs.sort(key=lambda run: (len(run.data.metrics), len(run.data.params), run.info.run_id))
            for duplicate in runs[:-1]:
                self._client.delete_run(duplicate.info.run_id)
        kept = {key: runs[-1] for key, runs in found.items()}
        self._ids, self._steps = {key: run.info.run_id for key, run in kept.items()}, {}
        self._runs_unknown = False
        return kept


def _equal(value: float, shown: float | None) -> bool:
    """Compare a value with the shown one; NaN counts as equal to NaN."""
    return value == shown or (shown is not None and math.isnan(value) and math.isnan(shown))


def _to_mlflow(data: DatasetInput) -> entities.DatasetInput:
    context = entities.InputTag("mlflow.data.context", data.context)
    return entities.DatasetInput(entities.Dataset(**asdict(data.dataset)), [context])
