"""The trials' MLflow runs, kept equal to the study."""

from search.plan.plan import Plan
from search.record.trial_names import Key
from search.study.sweep_study import SweepStudy
from search.tracking.replay import final_metrics, params_and_tags, score
from search.tracking.tracker import Tracker
from trainable.workers.messages import TrialReport


class MlflowTrials:
    """Opens, fills and closes one run a trial; whatever died in between, each has one, in the study's state."""

    def __init__(self, plan: Plan, study: SweepStudy, tracker: Tracker) -> None:
        self._plan, self._study, self._tracker = plan, study, tracker
        self._open: set[Key] = set()  # in this session, and not closed

    def open(self, key: Key) -> None:
        """Open the run of a trial that starts, or starts again."""
        self._tracker.start_trial(key, *params_and_tags(self._plan, self._study.record(key)))
        self._open.add(key)

    def log(self, key: Key, said: TrialReport) -> None:
        """Write the scores of a report, and the trial's own so far; a mere sign of life has none."""
        if said.metrics:
            metrics = {**said.metrics, f"{said.stage}.epoch": said.epoch}
            if said.of_target:
                metrics |= score(self._study.record(key))
            self._tracker.log(key, metrics, said.stage_step)

    def close(self, key: Key) -> None:
        """Close the run of a trial that has ended; one that never started gets its run too."""
        record = self._study.record(key)
        if not record.ended:
            return
        if key not in self._open:
            self.open(key)
        self._tracker.end_trial(key, record.state, record.error, final_metrics(record))
        self._open.remove(key)

    def close_ended(self) -> None:
        """Close the runs of trials that ended while they were paused."""
        for key in list(self._open):
            self.close(key)

    def reconcile(self) -> None:
        """Close the runs of ended trials that a killed driver left open, and make those that MLflow has lost."""
        ended = [record for record in self._study.records if record.ended]
        self._tracker.reconcile({record.key: (record.state, record.error, final_metrics(record)) for record in ended})
