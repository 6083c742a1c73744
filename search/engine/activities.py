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
        self._without_slot: set[Key] = set()

    def see(self, trials: Iterable[Trial]) -> None:
        """Note which of Tune's trials have no slot."""
        self._without_slot = {key_of_task(trial.config) for trial in trials if trial.status == Trial.PENDING}

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
        if key in self._without_slot:
            return Activity("waits for a free slot", waits=True)
        stage = self._stages.get(key)
        if stage is None:
            return Activity("begins")
        if stage.waits:
            return Activity(self._waits_for(stage.last.stage), waits=True)
        taken, seconds = stage.last.stage_step - stage.first.stage_step, stage.reported - stage.began
        done = stage.last.stage_done - stage.first.stage_done
        if taken <= 0 or seconds <= 0 or done <= 0:
            return Activity(stage.last.stage, done=stage.last.stage_done)
        left = (1 - stage.last.stage_done) * seconds / done - (self._now() - stage.reported)
        return Activity(stage.last.stage, False, stage.last.stage_done, taken / seconds, max(0.0, left))

    def _waits_for(self, source: str) -> str:
        """Say which trial trains the source stage, if only one trains a source stage now."""
        training = [
            key for key, stage in self._stages.items() if stage.last.stage == source and stage.last.stage_step > 0
        ]
        return f"waits for source of {training[0]}" if len(training) == 1 else f"waits for its {source}"
