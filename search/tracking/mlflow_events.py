"""The events of a sweep that MLflow records; they contain no passwords and can be stored as JSON."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal

from mlflow.types import ColSpec, Schema
from pydantic import BeforeValidator, Field, TypeAdapter

from search.record.records import State
from search.record.trial_names import Key
from search.redaction import redact
from search.tracking.run_tags import ERROR
from trainable.settings.values import Params

# MLflow's limits: characters of one value.
_PARAM_LENGTH, _TAG_LENGTH, _DIGEST_LENGTH, _SCHEMA_LENGTH = 6000, 8000, 36, 1_000_000


@dataclass(frozen=True)
class DatasetInfo:
    """One data set of a sweep."""

    name: str
    fingerprint: str
    """A hash of the content; its first 36 characters are kept."""
    context: str
    """Its use: `source` or `target`."""
    rows: int
    columns: Mapping[str, str]
    """The type of each used column, such as `string`."""


@dataclass(frozen=True)
class DatasetFields:
    """The fields of MLflow's `Dataset` entity; the last three are JSON."""

    name: str
    digest: str
    source_type: str
    source: str
    schema: str | None
    profile: str | None


@dataclass(frozen=True)
class DatasetInput:
    """A data set of a run, and its use there: `source` or `target`."""

    dataset: DatasetFields
    context: str


@dataclass(frozen=True)
class TrialEnd:
    """The end of a trial; the metrics are the values that its run shows afterwards."""

    trial: Key
    state: State
    tags: dict[str, str]
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Started:
    """A trial, or without a key the sweep itself, begins or continues. Times are in milliseconds since 1970."""

    trial: Key | None
    time: int
    params: dict[str, str]
    tags: dict[str, str]
    datasets: tuple[DatasetInput, ...] = ()
    what: Literal["start"] = "start"


@dataclass(frozen=True)
class Reported:
    """Metrics of a trial, or of the sweep, at a step."""

    trial: Key | None
    time: int
    metrics: dict[str, float]
    step: int
    what: Literal["report"] = "report"


@dataclass(frozen=True)
class Ended:
    """A trial, or the sweep, has ended; its run shows these metrics afterwards."""

    trial: Key | None
    time: int
    state: State
    metrics: dict[str, float]
    tags: dict[str, str]
    what: Literal["end"] = "end"


def _from_list(end: Any) -> Any:
    """Convert the end of a trial that versions up to November 2026 wrote as a list; the oldest wrote no metrics."""
    return dict(zip(("trial", "state", "tags", "metrics"), end, strict=False)) if isinstance(end, list) else end


@dataclass(frozen=True)
class Reconciled:
    """The ends of all trials that have ended so far; MLflow may lack some of them."""

    time: int
    states: tuple[Annotated[TrialEnd, BeforeValidator(_from_list)], ...]
    trial: None = None
    what: Literal["settle"] = "settle"


@dataclass(frozen=True)
class TextLogged:
    """A text that is stored as the file `name` of a run."""

    trial: Key | None
    time: int
    text: str
    name: str
    what: Literal["text"] = "text"


@dataclass(frozen=True)
class TrialResult:
    """What the end of a sweep says of one trial."""

    trial: Key
    rank: float
    """1 for the best settings; a repeat has the rank of the trial that it repeats, and a fraction: 1.01, 1.02."""
    result: Literal["winner", "finalist", "repeat", ""]


@dataclass(frozen=True)
class Ranked:
    """The results of trials, at the end of a sweep; an extended sweep gives them again."""

    time: int
    results: tuple[TrialResult, ...]
    trial: None = None
    what: Literal["rank"] = "rank"


@dataclass(frozen=True)
class NoteWritten:
    """The description of the sweep's run in Markdown; a link to `run:KEY` leads to the run of that trial."""

    time: int
    text: str
    trial: None = None
    what: Literal["note"] = "note"


@dataclass(frozen=True)
class ViewSaved:
    """How MLflow's page shows the sweep's runs, see `search.tracking.saved_view`."""

    time: int
    state: str
    trial: None = None
    what: Literal["view"] = "view"


@dataclass(frozen=True)
class FileLogged:
    """A file of the sweep's folder that is stored in a run, under its own name; the outbox does not hold its content.

    MLflow gets the content that the file has at the delivery. Another delivery replaces it.
    """

    trial: Key | None
    time: int
    path: str
    """Relative to the sweep's folder, which can be moved."""
    what: Literal["file"] = "file"


Event = Started | Reported | Ended | Reconciled | TextLogged | FileLogged | Ranked | NoteWritten | ViewSaved
_EVENT: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="what")])


def encode(event: Event) -> str:
    """Return an event as JSON."""
    return json.dumps(asdict(event))


def decode(text: str) -> Event:
    """Return the event of a JSON text, which an earlier version may have written.

    Raises:
        ValueError: if the text is not an event.
    """
    return _EVENT.validate_json(text)


def started(key: Key | None, params: Params, tags: Mapping[str, str], datasets: Sequence[DatasetInfo] = ()) -> Started:
    """Return the event that a trial or the sweep starts; values become text."""
    inputs = tuple(DatasetInput(_dataset_fields(info), info.context) for info in datasets)
    return Started(key, _now(), _texts(params, _PARAM_LENGTH), _texts(tags, _TAG_LENGTH), inputs)


def reported(key: Key | None, metrics: Mapping[str, float], step: int) -> Reported:
    """Return the event that a trial or the sweep reports metrics."""
    return Reported(key, _now(), _numbers(metrics), step)


def ended(key: Key | None, state: State, metrics: Mapping[str, float], tags: Mapping[str, str]) -> Ended:
    """Return the event that a trial or the sweep ends."""
    return Ended(key, _now(), state, _numbers(metrics), _texts(tags, _TAG_LENGTH))


def reconciled(trials: Mapping[Key, tuple[State, str | None, Mapping[str, float]]]) -> Reconciled:
    """Return the event with the ends of trials, given as state, error and metrics by the trial's key."""
    ends = [TrialEnd(k, state, error_tags(error), _numbers(metrics)) for k, (state, error, metrics) in trials.items()]
    return Reconciled(_now(), tuple(ends))


def text_logged(key: Key | None, text: str, name: str) -> TextLogged:
    """Return the event that stores a text as the file `name` of a run."""
    return TextLogged(key, _now(), text, name)


def ranked(results: Sequence[TrialResult]) -> Ranked:
    """Return the event with the results of trials."""
    return Ranked(_now(), tuple(results))


def note_written(text: str) -> NoteWritten:
    """Return the event that describes the sweep's run."""
    return NoteWritten(_now(), redact(text))


def view_saved(state: str) -> ViewSaved:
    """Return the event that stores how MLflow's page shows the sweep's runs."""
    return ViewSaved(_now(), state)


def file_logged(key: Key | None, path: str) -> FileLogged:
    """Return the event that stores a file of the sweep's folder, given by its path there, in a run."""
    return FileLogged(key, _now(), path)


def error_tags(error: str | None) -> dict[str, str]:
    """Return the tag with an error; empty without an error."""
    return _texts({ERROR: error} if error else {}, _TAG_LENGTH)


def _now() -> int:
    return int(time.time() * 1000)


def _dataset_fields(info: DatasetInfo) -> DatasetFields:
    columns = Schema([ColSpec(kind, name) for name, kind in info.columns.items()])
    schema = json.dumps({"mlflow_colspec": columns.to_dict()})
    return DatasetFields(
        name=info.name,
        digest=info.fingerprint[:_DIGEST_LENGTH],
        source_type="local",
        source=json.dumps({"name": info.name}),
        schema=schema if len(schema) <= _SCHEMA_LENGTH else None,
        profile=json.dumps({"num_rows": info.rows}),
    )


def _texts(values: Mapping[str, Any], length: int) -> dict[str, str]:
    """Return values as MLflow and its databases accept them: without passwords, cut to the limit, None as text."""
    shown = {key: "none" if value is None else redact(str(value)) for key, value in values.items()}
    return {key: text.replace("\0", "")[:length] for key, text in shown.items()}


def _numbers(metrics: Mapping[str, float]) -> dict[str, float]:
    """Replace infinity by NaN: MLflow would store it as 1.8e308, which makes a chart unreadable."""
    return {name: float(value) if math.isfinite(value) else math.nan for name, value in metrics.items()}
