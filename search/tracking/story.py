"""What the study knows of a sweep's MLflow runs: from it those are made again that MLflow has lost."""

from collections.abc import Mapping
from typing import Any

from search.plan.plan import Plan
from search.record.records import TrialRecord
from search.record.trial_names import Key
from search.storage.outbox import Event
from search.study.ledger import Ledger
from search.study.selection import trial_config
from search.tracking.mlflow_events import ended, error_tags, reported, started
from search.tracking.mlflow_runs import OF, ROLE
from trainable.data.read_splits import short_name
from trainable.settings.dataset import Dataset

SCORE = "score"
"""The metric with a trial's one number, the same as in the study, in `show`, on the card and in the export."""
SWEEP_RUN = "mlflow_run"
"""Under this name the study notes the event that began the sweep's own run: its settings, data and versions."""


class Story:
    """Tells the runs of a sweep from its study, whenever one is found missing.

    Args:
        plan: the experiment.
        ledger: the study; it may be written while a story is told.
    """

    def __init__(self, plan: Plan, ledger: Ledger) -> None:
        self._plan, self._ledger = plan, ledger

    def __call__(self, key: Key | None) -> list[Event]:
        """The events of a trial's run, or of the sweep's own and those of all its trials."""
        records = [record for record in self._ledger.records if key in (None, record.key)]
        trials = [event for record in records for event in self._trial(record)]
        begun = self._ledger.noted(SWEEP_RUN) if key is None else None
        return [begun, *trials] if begun else trials

    def _trial(self, record: TrialRecord) -> list[Event]:
        """Its beginning, and what it has come to; its curves are lost."""
        begin = started(record.key, *facts(self._plan, record))
        begin["time"] -= round(1000 * record.seconds)
        if record.ended:
            return [begin, ended(record.key, record.state, remembered(record), error_tags(record.error))]
        return [begin, reported(record.key, remembered(record), 0)]


def facts(plan: Plan, record: TrialRecord) -> tuple[dict[str, Any], dict[str, str]]:
    """Parameters and tags of a trial's run."""
    of = {} if record.role == "search" else {OF: str(record.number)}
    return _shown(trial_config(plan, record).to_flat()), {
        ROLE: record.role,
        "transfersweep.seed": str(record.seed),
    } | of


def score(record: TrialRecord) -> dict[str, float]:
    """The one number of a trial: its best validation score so far, by the name that runs are sorted by."""
    return {} if record.value is None else {SCORE: record.value}


def remembered(record: TrialRecord) -> dict[str, float]:
    """What every place tells of a trial that has ended: its score, and all metrics of the evaluation that gave it."""
    return record.metrics | score(record)


def _shown(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as MLflow shows them: a data set by its name."""
    return {
        name: short_name(Dataset.model_validate(value)) if isinstance(value, dict) else value
        for name, value in flat.items()
    }
