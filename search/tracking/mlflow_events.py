"""What happens in a sweep, as events to be applied to MLflow; they hold no passwords, and JSON can keep them."""

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
from trainable.settings.values import Params

_ERROR = "transfersweep.error"
# MLflow's limits: characters of one value.
_PARAM_LENGTH, _TAG_LENGTH, _DIGEST_LENGTH, _SCHEMA_LENGTH = 6000, 8000, 36, 1_000_000


@dataclass(frozen=True)
class DatasetInfo:
    """One data set of a sweep."""

    name: str
    fingerprint: str
    """A hash of the content; its first 36 characters are kept."""
    context: str
    """What it is for: `source` or `target`."""
    rows: int
    columns: Mapping[str, str]
    """The type of each column that is used, such as `string`."""


@dataclass(frozen=True)
class DatasetFields:
    """The fields of MLflow's own `Dataset`; the last three are JSON."""

    name: str
    digest: str
    source_type: str
    source: str
    schema: str | None
    profile: str | None


@dataclass(frozen=True)
class DatasetInput:
    """A data set that a run uses, and what for: `source` or `target`."""

    dataset: DatasetFields
    context: str


@dataclass(frozen=True)
class TrialEnd:
    """How a trial ended; the metrics are the values that its run shows from then on."""

    trial: Key
    state: State
    tags: dict[str, str]
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Started:
    """A trial begins, or goes on; without a key the sweep itself. Times are in milliseconds since 1970."""

    trial: Key | None
    time: int
    params: dict[str, str]
    tags: dict[str, str]
    datasets: tuple[DatasetInput, ...] = ()
    what: Literal["start"] = "start"


@dataclass(frozen=True)
class Reported:
    """Numbers of a trial, or of the sweep, at a step."""

    trial: Key | None
    time: int
    metrics: dict[str, float]
    step: int
    what: Literal["report"] = "report"


@dataclass(frozen=True)
class Ended:
    """A trial or the sweep has ended; its run shows these metrics from now on."""

    trial: Key | None
    time: int
    state: State
    metrics: dict[str, float]
    tags: dict[str, str]
    what: Literal["end"] = "end"


def _by_name(end: Any) -> Any:
    """A trial's end as versions up to November 2026 wrote it, a list; the oldest had no metrics in it."""
    return dict(zip(("trial", "state", "tags", "metrics"), end, strict=False)) if isinstance(end, list) else end


@dataclass(frozen=True)
class Reconciled:
    """All trials that have ended so far, whether or not MLflow has the end of each."""

    time: int
    states: tuple[Annotated[TrialEnd, BeforeValidator(_by_name)], ...]
    trial: None = None
    what: Literal["settle"] = "settle"


@dataclass(frozen=True)
class TextLogged:
    """A text, to be stored as the file `name` of a run."""

    trial: Key | None
    time: int
    text: str
    name: str
    what: Literal["text"] = "text"


Event = Started | Reported | Ended | Reconciled | TextLogged
_EVENT: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="what")])


def encode(event: Event) -> str:
    """An event as JSON."""
    return json.dumps(asdict(event))


def decode(text: str) -> Event:
    """The event of a JSON text, also of one that an earlier version wrote.

    Raises:
        ValueError: if it is none.
    """
    return _EVENT.validate_json(text)


def started(key: Key | None, params: Params, tags: Mapping[str, str], datasets: Sequence[DatasetInfo] = ()) -> Started:
    """The beginning of a trial, or of the sweep; values are turned into text."""
    inputs = tuple(DatasetInput(_dataset_fields(info), info.context) for info in datasets)
    return Started(key, _now(), _texts(params, _PARAM_LENGTH), _texts(tags, _TAG_LENGTH), inputs)


def reported(key: Key | None, metrics: Mapping[str, float], step: int) -> Reported:
    """A report of a trial, or of the sweep."""
    return Reported(key, _now(), _numbers(metrics), step)


def ended(key: Key | None, state: State, metrics: Mapping[str, float], tags: Mapping[str, str]) -> Ended:
    """The end of a trial, or of the sweep."""
    return Ended(key, _now(), state, _numbers(metrics), _texts(tags, _TAG_LENGTH))


def reconciled(trials: Mapping[Key, tuple[State, str | None, Mapping[str, float]]]) -> Reconciled:
    """The ends of trials: state, error and metrics by the trial's key."""
    ends = [TrialEnd(k, state, error_tags(error), _numbers(metrics)) for k, (state, error, metrics) in trials.items()]
    return Reconciled(_now(), tuple(ends))


def text_logged(key: Key | None, text: str, name: str) -> TextLogged:
    """A text for a run's file `name`."""
    return TextLogged(key, _now(), text, name)


def error_tags(error: str | None) -> dict[str, str]:
    """The tag of an error, where there is one."""
    return _texts({_ERROR: error} if error else {}, _TAG_LENGTH)


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
    """Values as MLflow and its databases accept them: without passwords, cut to the limit, None as text."""
    shown = {key: "none" if value is None else redact(str(value)) for key, value in values.items()}
    return {key: text.replace("\0", "")[:length] for key, text in shown.items()}


def _numbers(metrics: Mapping[str, float]) -> dict[str, float]:
    """Infinity becomes NaN: MLflow would write it as 1.8e308, which makes a chart unreadable."""
    return {name: float(value) if math.isfinite(value) else math.nan for name, value in metrics.items()}
