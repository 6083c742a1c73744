"""The trials' MLflow runs, kept true to the ledger."""

from collections.abc import Mapping
from typing import Any

from search.ledger import Ledger
from search.mlflow_runs import OF, ROLE
from search.plan import Plan
from search.records import TrialRecord
from search.selection import trial_config
from search.tracking import Tracker
from search.trial_names import Key
from trainable.dataset import Dataset
from trainable.tables import short_name

SCORE = "score"
"""The metric with a trial's one number, the same as in the study, in `show`, on the card and in the export."""


class TrialRuns:
    """Opens, fills and closes one run a trial; whatever died in between, each has one, in the ledger's state."""

    def __init__(self, plan: Plan, ledger: Ledger, tracker: Tracker) -> None:
        self._plan, self._ledger, self._tracker = plan, ledger, tracker
        self._open: set[Key] = set()  # in this session, and not closed

    def open(self, key: Key) -> None:
        """Open the run of a trial that starts, or starts again."""
        record = self._ledger.record(key)
        config = trial_config(self._plan, record).to_flat()
        of = {} if record.role == "search" else {OF: str(record.number)}
        self._tracker.start_trial(
            key, _shown(config), {ROLE: record.role, "transfersweep.seed": str(record.seed), **of}
        )
        self._open.add(key)

    def log(self, key: Key, result: Mapping[str, Any]) -> None:
        """Write the scores of a report, and the trial's own so far; a mere sign of life has none."""
        if result["metrics"]:
            metrics = {**result["metrics"], f"{result['stage']}.epoch": result["epoch"]}
            if result["stage"] == "target":
                metrics |= _score(self._ledger.record(key))
            self._tracker.log(key, metrics, result["stage_step"])

    def close(self, key: Key) -> None:
        """Close the run of a trial that has ended; one that never started gets its run too."""
        record = self._ledger.record(key)
        if not record.ended:
            return
        if key not in self._open:
            self.open(key)
        self._tracker.end_trial(key, record.state, record.error, _remembered(record))
        self._open.remove(key)

    def close_ended(self) -> None:
        """Close the runs of trials that ended while they were paused."""
        for key in list(self._open):
            self.close(key)

    def reconcile(self) -> None:
        """Close what a killed driver left open: runs that still say running, of trials that have ended."""
        ended = [record for record in self._ledger.records if record.ended]
        self._tracker.settle({record.key: (record.state, record.error, _remembered(record)) for record in ended})


def _score(record: TrialRecord) -> dict[str, float]:
    """The one number of a trial: its best validation score so far, by the name that runs are sorted by."""
    return {} if record.value is None else {SCORE: record.value}


def _remembered(record: TrialRecord) -> dict[str, float]:
    """What every place tells of a trial that has ended: its score, and all metrics of the evaluation that gave it."""
    return record.metrics | _score(record)


def _shown(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as MLflow shows them: a data set by its name."""
    return {
        name: short_name(Dataset.model_validate(value)) if isinstance(value, dict) else value
        for name, value in flat.items()
    }
