"""Builds events again from a sweep's study, to create MLflow runs that are missing, such as deleted ones."""

import json
from dataclasses import replace

from search.plan.plan import Plan
from search.record.records import TrialRecord
from search.record.trial_names import Key
from search.study.sweep_study import SweepStudy
from search.study.trial_settings import trial_config
from search.tracking.mlflow_events import Event, Started, decode, encode, ended, error_tags, reported, started
from search.tracking.run_tags import REPEAT_OF, ROLE, SEED
from trainable.data.read_splits import short_name
from trainable.settings.dataset import Dataset
from trainable.settings.values import Params

SCORE = "score"
"""The metric with a trial's score; the study, `show`, the model card and the export have the same number."""
_SWEEP_START = "mlflow_run"
"""Name under which the study stores the event that started the sweep's own run: its settings, data and versions."""


class Replay:
    """Returns the events of a sweep's runs, built from its study.

    Args:
        plan: the experiment.
        study: the study; other code may write to it at the same time.
    """

    def __init__(self, plan: Plan, study: SweepStudy) -> None:
        self.plan, self._study = plan, study

    def __call__(self, key: Key | None) -> list[Event]:
        """Return the events of a trial's run; without a key, those of the sweep's own run and all its trials' runs."""
        records = [record for record in self._study.records if key in (None, record.key)]
        trials = [event for record in records for event in self._trial(record)]
        start = self._study.user_attr(_SWEEP_START) if key is None else None
        return [decode(json.dumps(start)), *trials] if start else trials

    def _trial(self, record: TrialRecord) -> list[Event]:
        """Return a trial's start and its current metrics; the study has no curves."""
        start = started(record.key, *params_and_tags(self.plan, record))
        start = replace(start, time=start.time - round(1000 * record.seconds))
        if record.ended:
            return [start, ended(record.key, record.state, final_metrics(record), error_tags(record.error))]
        return [start, reported(record.key, final_metrics(record), 0)]


def keep_sweep_start(study: SweepStudy, event: Started) -> None:
    """Store the event that starts the sweep's own run in the study, for a later replay."""
    study.set_user_attr(_SWEEP_START, json.loads(encode(event)))


def params_and_tags(plan: Plan, record: TrialRecord) -> tuple[Params, dict[str, str]]:
    """Return the parameters and tags of a trial's run: the searched settings alone, so that comparisons draw these."""
    repeat_of = {} if record.role == "search" else {REPEAT_OF: str(record.number)}
    settings = all_settings(plan, record)
    params = {name: settings[name] for name in plan.space.names if name in settings}
    return params, {ROLE: record.role, SEED: str(record.seed)} | repeat_of


def all_settings(plan: Plan, record: TrialRecord) -> Params:
    """Return every setting of a trial by dotted name, data sets by their short names."""
    config = trial_config(plan, record)
    # Without them, nothing would say that a stage of `sources` is switched off.
    switches = {name: name.removesuffix(".enabled") in config.stages() for name in plan.source_switches()}
    return as_scalars({**switches, **config.to_flat()})


def score(record: TrialRecord) -> dict[str, float]:
    """Return the metric `score`, the trial's best validation score so far; empty before its first evaluation."""
    return {} if record.value is None else {SCORE: record.value}


def final_metrics(record: TrialRecord) -> dict[str, float]:
    """Return a trial's score and all metrics of the evaluation that gave this score."""
    return record.metrics | score(record)


def as_scalars(settings: Params) -> Params:
    """Replace each data set by its short name, and another mapping by its JSON."""
    return {
        name: value
        if not isinstance(value, dict)
        else short_name(Dataset.model_validate(value))
        if name.endswith(".dataset")
        else json.dumps(value)
        for name, value in settings.items()
    }
