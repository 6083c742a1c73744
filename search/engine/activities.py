"""What the running trials do now, from Tune's events: their stage, its pace, and what they wait for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from ray.tune.experiment import Trial

from search.record.trial_names import Key
from search.show.activity import Activity
from trainable.workers.messages import TrialReport, key_of_task


@dataclass
class _Stage:
    """The stage that a trial is in."""

    first: TrialReport
    began: float
    last: TrialReport
    reported: float

    @property
    def trains_source(self) -> bool:
        """Return whether the trial trains a source stage."""
        return not self.last.of_target and self.last.stage_step > 0 and not self.last.source_ready

    @property
    def waits(self) -> bool:
        """Return whether another trial trains it: only then a source stage reports before its first step."""
        return not self.last.of_target and not self.last.stage_step and not self.last.source_ready


class Activities:
    """What each running trial does.

    Args:
        now: the clock, in seconds.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._stages: dict[Key, _Stage] = {}
        self._statuses: dict[Key, str] = {}  # of the trials that Tune has been given

    def see(self, trials: Iterable[Trial]) -> None:
        """Note what Tune does with the trials that it has been given."""
        self._statuses = {key_of_task(trial.config): trial.status for trial in trials}

    def report(self, key: Key, report: TrialReport) -> None:
        """Note a report of a trial."""
        now, stage = self._now(), self._stages.get(key)
        if stage is None or stage.last.stage != report.stage or stage.waits:
            self._stages[key] = _Stage(report, now, report, now)
        else:
            stage.last, stage.reported = report, now

    def end(self, key: Key) -> None:
        """Forget a trial that has ended."""
        self._stages.pop(key, None)

    def of(self, keys: Iterable[Key]) -> Mapping[Key, Activity]:
        """Return what running trials do."""
        return {key: self._activity(key) for key in keys}

    def _activity(self, key: Key) -> Activity:
        if self._statuses.get(key) == Trial.PENDING:
            return Activity("waits for a free slot", waits=True)
        stage = self._stages.get(key)
        if stage is None:
            return Activity("begins") if key in self._statuses else self._kept_back()
        if stage.waits:
            training = self._training(stage.last.stage)
            what = f"source of {training[0]}" if len(training) == 1 else f"its {stage.last.stage}"
            return Activity(f"waits for {what}", waits=True)
        taken, seconds = stage.last.stage_step - stage.first.stage_step, stage.reported - stage.began
        done = stage.last.stage_done - stage.first.stage_done
        if taken <= 0 or seconds <= 0 or done <= 0:
            return Activity(stage.last.stage, done=stage.last.stage_done)
        left = (1 - stage.last.stage_done) * seconds / done - (self._now() - stage.reported)
        return Activity(stage.last.stage, False, stage.last.stage_done, taken / seconds, max(0.0, left))

    def _kept_back(self) -> Activity:
        """Return what a trial waits for that the searcher has begun, and not given to Tune while its source trains."""
        training = self._training()
        return Activity(f"waits for source of {training[0]}" if training else "waits for a free slot", waits=True)

    def _training(self, source: str | None = None) -> list[Key]:
        """Return the trials that train a source stage now, or the one of this name."""
        return [
            key for key, stage in self._stages.items() if source in (None, stage.last.stage) and stage.trains_source
        ]
