"""The trials' MLflow runs, kept true to the ledger."""

from collections.abc import Mapping
from typing import Any

from search.ledger import Ledger
from search.plan import Plan
from search.selection import trial_config
from search.tracking import Tracker
from trainable.dataset import Dataset
from trainable.tables import short_name


class TrialRuns:
    """Opens, fills and closes one run a trial; whatever died in between, each has one, in the ledger's state."""

    def __init__(self, plan: Plan, ledger: Ledger, tracker: Tracker) -> None:
        self._plan, self._ledger, self._tracker = plan, ledger, tracker
        self._open: set[int] = set()  # in this session, and not closed

    def open(self, number: int) -> None:
        """Open the run of a trial that starts, or starts again."""
        record = self._ledger.record(number)
        config = trial_config(self._plan, record).to_flat()
        of = {} if record.of is None else {"transfersweep.of": str(record.of)}
        self._tracker.start_trial(number, _shown(config), {"transfersweep.role": record.role, **of})
        self._open.add(number)

    def log(self, number: int, result: Mapping[str, Any]) -> None:
        """Write the scores of a report; a mere sign of life has none."""
        if result["metrics"]:
            metrics = {**result["metrics"], f"{result['stage']}.epoch": result["epoch"]}
            self._tracker.log(number, metrics, result["stage_step"])

    def close(self, number: int) -> None:
        """Close the run of a trial that has ended; one that never started gets its run too."""
        record = self._ledger.record(number)
        if not record.ended:
            return
        if number not in self._open:
            self.open(number)
        self._tracker.end_trial(number, record.state, record.error)
        self._open.remove(number)

    def close_ended(self) -> None:
        """Close the runs of trials that ended while they were paused."""
        for number in sorted(self._open):
            self.close(number)

    def reconcile(self) -> None:
        """Close what a killed driver left open: runs that still say running, of trials that have ended."""
        ended = [record for record in self._ledger.records if record.ended]
        self._tracker.settle({record.number: (record.state, record.error) for record in ended})


def _shown(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as MLflow shows them: a data set by its name."""
    return {
        name: short_name(Dataset.model_validate(value)) if isinstance(value, dict) else value
        for name, value in flat.items()
    }
