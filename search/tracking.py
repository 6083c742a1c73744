"""What a sweep tells MLflow: one run a sweep and one nested run a trial, found again by tag, never made twice.

Only `MlflowClient` is used: no active run, no autologging, nothing global. The driver is the only writer.
"""

from __future__ import annotations

import json
import math
import platform
import re
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import sqlalchemy
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

from search.records import State
from trainable.errors import ConfigError

SWEEP = "transfersweep.sweep"
"""Tag with the sweep's name, on its run and on its trials'."""
SWEEP_ID = "transfersweep.sweep_id"
"""Tag that tells this sweep from all others, of the same name too; `start_sweep` needs it."""
TRIAL = "transfersweep.trial"
"""Tag with a trial's number."""
_KIND, _STATE, _ERROR = "transfersweep.kind", "transfersweep.state", "transfersweep.error"
_PARENT = "mlflow.parentRunId"
_PACKAGES = ("torch", "transformers", "datasets", "ray", "optuna", "mlflow")
_STATUS = {State.FINISHED: "FINISHED", State.STOPPED: "KILLED", State.FAILED: "FAILED", State.LOST: "FAILED"}

# MLflow's limits: runs of one search, entries of one request, characters of one value.
_SEARCH, _BATCH = 50_000, 100
_PARAM_LENGTH, _TAG_LENGTH, _DIGEST_LENGTH, _SCHEMA_LENGTH = 6000, 8000, 36, 1_000_000


@dataclass(frozen=True)
class DatasetInfo:
    """One data set of a sweep, as MLflow shows it."""

    name: str
    fingerprint: str
    """A hash of the content; its first 36 characters are kept."""
    context: str
    """What it is for: `source` or `target`."""
    rows: int
    columns: Mapping[str, str]
    """The type of each column that is used, such as `string`."""


class Tracker:
    """The MLflow runs of one sweep."""

    def __init__(self, uri: str, experiment: str = "transfersweep", system_metrics: bool = False) -> None:
        """Open the store, and make its tables where it has none.

        Args:
            uri: a tracking URI; for an SQLite file the artifacts lie beside it, in `mlartifacts`.
            experiment: the MLflow experiment; made where it is missing, restored where it was deleted.
            system_metrics: record the driver machine's load in the sweep's run, every 10 s.

        Raises:
            ConfigError: the URI cannot be opened; the message has no password in it.
        """
        self.uri = uri
        self._system_metrics = system_metrics
        self._monitor: SystemMetricsMonitor | None = None
        self.sweep_run = ""
        self._sweep_tags: dict[str, str] = {}
        self._runs: dict[int, str] = {}  # trial number -> run id
        self._steps: dict[int, dict[str, int]] = {}  # trial number -> metric -> last step written
        try:
            _check_reachable(uri)
            self._client = MlflowClient(uri)
            self._experiment = _experiment(self._client, experiment, uri)
        except (MlflowException, sqlalchemy.exc.SQLAlchemyError, ImportError, OSError) as error:
            reason = redact(str(getattr(error, "reason", error))).strip().splitlines()[0].partition(". ")[0]
            raise ConfigError(
                f"sweep.tracking_uri: {redact(uri)!r} cannot be opened ({reason}); give an SQLite file "
                "(sqlite:///runs/mlflow.db), a database that answers, or the address of an MLflow server"
            ) from None

    def start_sweep(
        self, name: str, params: Mapping[str, Any], tags: Mapping[str, str], datasets: Sequence[DatasetInfo]
    ) -> str:
        """Open the sweep's run, the one of an earlier session where there is one, and return its id.

        `tags` must hold `SWEEP_ID`; git commit and versions are added.
        """
        self._sweep_tags = {SWEEP: name, SWEEP_ID: tags[SWEEP_ID]}
        own = {_KIND: "sweep"} | self._sweep_tags
        found = self._search({_KIND: "sweep", SWEEP_ID: tags[SWEEP_ID]})
        run = self._open(found[0] if found else None, name, {**provenance(), **tags, **own}, params)
        self.sweep_run = run.info.run_id
        self._client.log_inputs(self.sweep_run, [_dataset_input(info) for info in datasets])
        self._runs = {int(r.data.tags[TRIAL]): r.info.run_id for r in self._search({_PARENT: self.sweep_run})}
        if self._system_metrics:
            self._monitor = SystemMetricsMonitor(self.sweep_run, resume_logging=True, tracking_uri=self.uri)
            self._monitor.start()
        return self.sweep_run

    def start_trial(self, number: int, params: Mapping[str, Any], tags: Mapping[str, str]) -> str:
        """Open the trial's nested run, the one it has where it has one, and return its id.

        Parameters that the run already has are left as they are: MLflow can't change them.
        """
        own = {_KIND: "trial", TRIAL: str(number), _PARENT: self.sweep_run} | self._sweep_tags
        found = self._client.get_run(self._runs[number]) if number in self._runs else None
        if found and number not in self._steps:
            self._steps[number] = self._last_steps(found)
        run = self._open(found, f"trial-{number:03d}", {**tags, **own}, params)
        self._runs[number] = run.info.run_id
        return self._runs[number]

    def log(self, number: int, metrics: Mapping[str, float], step: int) -> None:
        """Write one report of a trial, as one request.

        Steps of a metric only grow: what a resumed trial reports again is left out. Infinity is
        written as NaN, as MLflow would turn it into 1.8e308 and spoil the chart.
        """
        now = int(time.time() * 1000)
        last = self._steps.setdefault(number, {})
        fresh = {name: float(value) for name, value in metrics.items() if step > last.get(name, -1)}
        batch = [Metric(n, v if math.isfinite(v) else math.nan, now, step) for n, v in fresh.items()]
        if batch:
            self._client.log_batch(self._runs[number], metrics=batch)
        last.update(dict.fromkeys(fresh, step))

    def end_trial(self, number: int, state: State, error: str | None = None) -> None:
        """Close a trial's run: a stopped one as KILLED, a failed or lost one as FAILED with its error."""
        tags = {_STATE: state.value} | ({_ERROR: error} if error else {})
        self._close(self._runs[number], state, tags)

    def end_sweep(self, state: State, metrics: Mapping[str, float], tags: Mapping[str, str]) -> None:
        """Close the sweep's run with its final metrics (the winner's scores, the hours used)."""
        if self._monitor:
            self._monitor.finish()
            self._monitor = None
        now = int(time.time() * 1000)
        batch = [Metric(name, float(value), now, 0) for name, value in metrics.items()]
        self._close(self.sweep_run, state, {_STATE: state.value, **tags}, batch)

    def orphans(self) -> list[int]:
        """Numbers of the trials whose runs still say RUNNING, as a killed driver leaves them."""
        found = self._search({_PARENT: self.sweep_run}, "attributes.status = 'RUNNING'")
        return sorted(int(run.data.tags[TRIAL]) for run in found)

    def log_text(self, number: int | None, text: str, name: str) -> None:
        """Store a text as the file `name` of a trial's run, or of the sweep's where there is no number."""
        self._client.log_text(self._run_id(number), text, name)

    def log_artifact_json(self, number: int | None, data: Mapping[str, Any], name: str) -> None:
        """Store a value as the JSON file `name`, see `log_text`."""
        self.log_text(number, json.dumps(data, indent=2), name)

    def _run_id(self, number: int | None) -> str:
        return self.sweep_run if number is None else self._runs[number]

    def _open(self, run: Run | None, name: str, tags: Mapping[str, str], params: Mapping[str, Any]) -> Run:
        if run is None:
            run = self._client.create_run(self._experiment, tags=_texts(tags, _TAG_LENGTH), run_name=name)
        elif run.info.status != "RUNNING":
            self._client.update_run(run.info.run_id, status="RUNNING")
            for tag in {_STATE, _ERROR} & run.data.tags.keys():  # of the end that was none
                self._client.delete_tag(run.info.run_id, tag)
        missing = {key: value for key, value in params.items() if key not in run.data.params}
        batch = [Param(key, value) for key, value in _texts(missing, _PARAM_LENGTH).items()]
        for start in range(0, len(batch), _BATCH):
            self._client.log_batch(run.info.run_id, params=batch[start : start + _BATCH])
        return run

    def _close(self, run_id: str, state: State, tags: Mapping[str, str], metrics: Sequence[Metric] = ()) -> None:
        run_tags = [RunTag(key, value) for key, value in _texts(tags, _TAG_LENGTH).items()]
        self._client.log_batch(run_id, metrics=metrics, tags=run_tags)
        self._client.set_terminated(run_id, status=_STATUS[state])

    def _last_steps(self, run: Run) -> dict[str, int]:
        history = self._client.get_metric_history
        return {name: max(m.step for m in history(run.info.run_id, name)) for name in run.data.metrics}

    def _search(self, tags: Mapping[str, str], *clauses: str) -> list[Run]:
        wanted = " and ".join([*(f"tags.`{key}` = '{value}'" for key, value in tags.items()), *clauses])
        return list(self._client.search_runs([self._experiment], wanted, max_results=_SEARCH))


def redact(text: str) -> str:
    """The text with user names and passwords in its URIs replaced by `***`."""
    text = re.sub(r"\b(?!sqlite|file)([a-z][a-z0-9+.-]*://)[^\s?#'\"]*@", r"\1***@", text)
    return re.sub(r"(?i)([?&](?:password|token|secret|key)=)[^&\s'\"]*", r"\1***", text)


def ui_command(uri: str, port: int = 5000) -> list[str]:
    """The command that serves the MLflow UI on that store to this machine only.

    Empty for the address of a server: that is the UI already.
    """
    if _is_address(uri):
        return []
    store = ["--backend-store-uri", uri]
    artifacts = ["--default-artifact-root", location] if (location := _artifact_location(uri)) else []
    address = ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    return [sys.executable, "-m", "mlflow", "ui", *store, *artifacts, *address]


def _is_address(uri: str) -> bool:
    return urlsplit(uri).scheme in {"http", "https"}


def _sqlite_file(uri: str) -> Path | None:
    return Path(uri.removeprefix("sqlite:///")).absolute() if uri.startswith("sqlite:///") else None


def _artifact_location(uri: str) -> str | None:
    file = _sqlite_file(uri)
    return (file.parent / "mlartifacts").as_uri() if file else None


def _check_reachable(uri: str) -> None:
    """Ask once, briefly: MLflow itself tries a database for a quarter of an hour and a server for minutes."""
    if not uri:
        raise OSError("it is empty")
    if _is_address(uri):
        parts = urlsplit(uri)
        try:
            urllib.request.urlopen(parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl(), timeout=10).close()
        except urllib.error.HTTPError:
            return  # it answers; whether it lets us in is for MLflow to say
        except urllib.error.URLError as error:
            if not isinstance(error.reason, ssl.SSLError):  # MLflow has its own settings for certificates
                raise
    elif "://" in uri and not uri.startswith(("file:", "databricks")):
        if file := _sqlite_file(uri):
            file.parent.mkdir(parents=True, exist_ok=True)
        engine = sqlalchemy.create_engine(uri)
        sqlalchemy.inspect(engine).get_table_names()
        engine.dispose()


def _experiment(client: MlflowClient, name: str, uri: str) -> str:
    found = client.get_experiment_by_name(name)
    if found is None:
        return str(client.create_experiment(name, artifact_location=_artifact_location(uri)))
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return str(found.experiment_id)


def _texts(values: Mapping[str, Any], length: int) -> dict[str, str]:
    """Values as MLflow takes them: text without passwords, no longer than it allows, never empty."""
    return {key: ("none" if value is None else redact(str(value)))[:length] for key, value in values.items()}


def _dataset_input(info: DatasetInfo) -> DatasetInput:
    schema = json.dumps({"mlflow_colspec": [{"name": n, "type": t} for n, t in info.columns.items()]})
    dataset = Dataset(
        name=info.name,
        digest=info.fingerprint[:_DIGEST_LENGTH],
        source_type="local",
        source=json.dumps({"name": info.name}),
        schema=schema if len(schema) <= _SCHEMA_LENGTH else None,
        profile=json.dumps({"num_rows": info.rows}),
    )
    return DatasetInput(dataset, [InputTag("mlflow.data.context", info.context)])


def provenance() -> dict[str, str]:
    """Versions of what decides a result, and the git commit of the working directory where it has one."""
    tags = {"version.python": platform.python_version()}
    for package in _PACKAGES:
        try:
            tags[f"version.{package}"] = version(package)
        except PackageNotFoundError:
            tags[f"version.{package}"] = "none"
    try:
        git = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10, check=False)
    except OSError:
        return tags
    return tags | ({"mlflow.source.git.commit": git.stdout.strip()} if git.returncode == 0 else {})
