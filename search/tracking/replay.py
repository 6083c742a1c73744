"""Replays a sweep from its study: the events of MLflow runs that are missing, such as deleted ones."""

import json
from dataclasses import replace

from search.plan.plan import Plan
from search.record.records import TrialRecord
from search.record.trial_names import Key
from search.study.selection import trial_config
from search.study.sweep_study import SweepStudy
from search.tracking.mlflow_events import Event, Started, decode, encode, ended, error_tags, reported, started
from search.tracking.mlflow_runs import OF, ROLE, SEED
from trainable.data.read_splits import short_name
from trainable.settings.dataset import Dataset
from trainable.settings.values import Params

SCORE = "score"
"""The metric with a trial's one number, the same as in the study, in `show`, on the card and in the export."""
_SWEEP_START = "mlflow_run"
"""Under this name the study keeps the event that began the sweep's own run: its settings, data and versions."""


class Replay:
    """The events of a sweep's runs, from its study.

    Args:
        plan: the experiment.
        study: the study; it may be written meanwhile.
    """

    def __init__(self, plan: Plan, study: SweepStudy) -> None:
        self._plan, self._study = plan, study

    def __call__(self, key: Key | None) -> list[Event]:
        """The events of a trial's run, or without a key of the sweep's own run and of all its trials' runs."""
        records = [record for record in self._study.records if key in (None, record.key)]
        trials = [event for record in records for event in self._trial(record)]
        start = self._study.user_attr(_SWEEP_START) if key is None else None
        return [decode(json.dumps(start)), *trials] if start else trials

    def _trial(self, record: TrialRecord) -> list[Event]:
        """A trial's start and its present metrics; the study does not have its curves."""
        start = started(record.key, *params_and_tags(self._plan, record))
        start = replace(start, time=start.time - round(1000 * record.seconds))
        if record.ended:
            return [start, ended(record.key, record.state, final_metrics(record), error_tags(record.error))]
        return [start, reported(record.key, final_metrics(record), 0)]


def keep_sweep_start(study: SweepStudy, event: Started) -> None:
    """Keep the event that begins the sweep's own run in the study, for a later replay."""
    study.set_user_attr(_SWEEP_START, json.loads(encode(event)))


def params_and_tags(plan: Plan, record: TrialRecord) -> tuple[Params, dict[str, str]]:
    """Parameters and tags of a trial's run."""
    of = {} if record.role == "search" else {OF: str(record.number)}
    return _shown(trial_config(plan, record).to_flat()), {ROLE: record.role, SEED: str(record.seed)} | of


def score(record: TrialRecord) -> dict[str, float]:
    """The metric by which runs are sorted: the trial's best validation score so far."""
    return {} if record.value is None else {SCORE: record.value}


def final_metrics(record: TrialRecord) -> dict[str, float]:
    """What every place shows of a trial that has ended: its score, and all metrics of the evaluation that gave it."""
    return record.metrics | score(record)


def _shown(flat: Params) -> Params:
    """Settings as MLflow shows them: a data set by its name."""
    return {
        name: short_name(Dataset.model_validate(value)) if isinstance(value, dict) else value
        for name, value in flat.items()
    }
