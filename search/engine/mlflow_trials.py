"""Keeps the trials' MLflow runs equal to the study."""

from search.plan.plan import Plan
from search.record.trial_names import Key
from search.study.sweep_study import SweepStudy
from search.tracking.replay import final_metrics, params_and_tags, score
from search.tracking.tracker import Tracker
from trainable.workers.messages import TrialReport


class MlflowTrials:
    """Opens, fills and closes one MLflow run for each trial, also for trials that ended during a crash."""

    def __init__(self, plan: Plan, study: SweepStudy, tracker: Tracker) -> None:
        self._plan, self._study, self._tracker = plan, study, tracker
        self._open: set[Key] = set()  # opened in this session and not closed yet

    def open(self, key: Key) -> None:
        """Open the run of a trial that starts or continues."""
        self._tracker.start_trial(key, *params_and_tags(self._plan, self._study.record(key)))
        self._open.add(key)

    def log(self, key: Key, report: TrialReport) -> None:
        """Log the scores of a report and the trial's score so far; a heartbeat has none."""
        if report.metrics:
            metrics = {**report.metrics, f"{report.stage}.epoch": report.epoch}
            if report.of_target:
                metrics |= score(self._study.record(key))
            self._tracker.log(key, metrics, report.stage_step)

    def close(self, key: Key) -> None:
        """Close the run of a trial that has ended; a trial that never started gets a run first."""
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
        """Close runs of ended trials that a killed driver left open, and create again those that MLflow has lost."""
        ended = [record for record in self._study.records if record.ended]
        self._tracker.reconcile({record.key: (record.state, record.error, final_metrics(record)) for record in ended})
