"""Events stored as JSON are read back unchanged, also those that earlier versions stored."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from search.record.records import State
from search.tracking.mlflow_events import (
    DatasetInfo,
    Event,
    Reconciled,
    TrialEnd,
    decode,
    encode,
    ended,
    reconciled,
    reported,
    started,
    text_logged,
)

DATA = DatasetInfo("sms.csv", "0123", "target", rows=20, columns={"text": "string"})
EVENTS: list[Event] = [
    started(None, {"sweep.trials": 4, "none": None}, {"version.torch": "2"}, [DATA]),
    started("6.seed-2", {}, {}),
    reported(0, {"loss": 0.1, "least": 5e-324}, 3),
    ended(7, State.FAILED, {"score": 0.5}, {"transfersweep.error": 'it\'s "ä" \n\u2028 \U0001f600'}),
    reconciled({0: (State.FINISHED, None, {"score": 0.5}), "0.seed-1": (State.LOST, "killed", {})}),
    text_logged(None, '{"a": [1, 2]}', "outcome.json"),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.what)
def test_a_stored_event_is_read_back_unchanged(event: Event) -> None:
    assert decode(encode(event)) == event


def test_nan_and_infinity_are_stored_as_nan() -> None:
    event = decode(encode(reported(0, {"a": math.nan, "b": math.inf}, 1)))
    assert event.what == "report"
    assert all(math.isnan(value) for value in event.metrics.values())


def test_events_of_an_earlier_version_are_read() -> None:
    file = Path(__file__).parent / "outbox-2026-11.jsonl"
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    older = [line["event"] for line in lines if "event" in line]
    assert {event["what"] for event in older} == {"start", "report", "end", "settle", "text"}
    for event in older:
        again = json.loads(encode(decode(json.dumps(event))))
        if event["what"] == "settle":
            names = ("trial", "state", "tags", "metrics")
            event = event | {"states": [dict(zip(names, end, strict=True)) for end in event["states"]]}
        assert repr(again) == repr({name: again[name] for name in again} | event)  # text, as NaN is not equal to NaN


def test_an_end_without_metrics_has_none() -> None:
    """The oldest versions wrote no metrics."""
    event = decode('{"what": "settle", "trial": null, "time": 1, "states": [[3, "lost", {}]]}')
    assert event == Reconciled(1, (TrialEnd(3, State.LOST, {}),))


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"what": "nothing"}', '{"what": "report", "trial": 0}'])
def test_other_text_is_no_event(text: str) -> None:
    with pytest.raises(ValueError):
        decode(text)


def test_a_data_set_has_the_form_that_mlflow_reads() -> None:
    [given] = started(None, {}, {}, [DATA]).datasets
    columns: list[dict[str, Any]] = json.loads(str(given.dataset.schema))["mlflow_colspec"]
    assert [(column["name"], column["type"]) for column in columns] == [("text", "string")]
    assert (given.context, json.loads(str(given.dataset.profile))) == ("target", {"num_rows": 20})
