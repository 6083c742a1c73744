"""What happens in a sweep, as events that are applied to MLflow: plain JSON, without passwords."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from search.record.records import State
from search.record.trial_names import Key
from search.redaction import redact
from search.storage.outbox import Event

_ERROR = "transfersweep.error"
# MLflow's limits: characters of one value.
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

    def to_event(self) -> dict[str, Any]:
        """The fields of MLflow's `Dataset`, and the context."""
        schema = json.dumps({"mlflow_colspec": [{"name": n, "type": t} for n, t in self.columns.items()]})
        dataset = {
            "name": self.name,
            "digest": self.fingerprint[:_DIGEST_LENGTH],
            "source_type": "local",
            "source": json.dumps({"name": self.name}),
            "schema": schema if len(schema) <= _SCHEMA_LENGTH else None,
            "profile": json.dumps({"num_rows": self.rows}),
        }
        return {"dataset": dataset, "context": self.context}


def started(
    key: Key | None, params: Mapping[str, Any], tags: Mapping[str, str], datasets: Sequence[DatasetInfo] = ()
) -> Event:
    """A trial begins, or goes on; without a key the sweep itself."""
    shown = {"params": _texts(params, _PARAM_LENGTH), "tags": _texts(tags, _TAG_LENGTH)}
    return _event("start", key, **shown, datasets=[info.to_event() for info in datasets])


def reported(key: Key | None, metrics: Mapping[str, float], step: int) -> Event:
    """Numbers of a trial, or of the sweep, at a step."""
    return _event("report", key, metrics=_numbers(metrics), step=step)


def ended(key: Key | None, state: State, metrics: Mapping[str, float], tags: Mapping[str, str]) -> Event:
    """A trial or the sweep is over; its run shows these metrics from now on."""
    return _event("end", key, state=state.value, metrics=_numbers(metrics), tags=_texts(tags, _TAG_LENGTH))


def settled(trials: Mapping[Key, tuple[State, str | None, Mapping[str, float]]]) -> Event:
    """These trials are over, with state, error and metrics, whether or not their end was told."""
    states = [[k, state.value, error_tags(error), _numbers(metrics)] for k, (state, error, metrics) in trials.items()]
    return _event("settle", None, states=states)


def noted(key: Key | None, text: str, name: str) -> Event:
    """A text, to be kept as the file `name`."""
    return _event("text", key, text=text, name=name)


def error_tags(error: str | None) -> dict[str, str]:
    """The tag of an error, where there is one."""
    return _texts({_ERROR: error} if error else {}, _TAG_LENGTH)


def _event(what: str, trial: Key | None, **facts: Any) -> Event:
    return {"what": what, "trial": trial, "time": int(time.time() * 1000), **facts}


def _texts(values: Mapping[str, Any], length: int) -> dict[str, str]:
    """Values as MLflow and its databases take them: without passwords, no longer than allowed, never none."""
    shown = {key: "none" if value is None else redact(str(value)) for key, value in values.items()}
    return {key: text.replace("\0", "")[:length] for key, text in shown.items()}


def _numbers(metrics: Mapping[str, float]) -> dict[str, float]:
    """Infinity as NaN: MLflow would turn it into 1.8e308 and spoil the chart."""
    return {name: float(value) if math.isfinite(value) else math.nan for name, value in metrics.items()}
