"""Ends a sweep whose trials come to nothing for a reason that is not theirs, instead of spending all of them on it."""

from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial

from search.cluster.ray_internals import reason_of_death
from search.engine.driver_only import DriverOnly
from search.engine.retries import RETRIES
from search.engine.stop_request import StopRequest
from search.record.records import State
from search.study.sweep_study import SweepStudy
from trainable.workers.messages import TrialFailure, TrialReport, read_result

EQUAL_FAILURES = 5
"""Trials that fail with the same words, none having come to anything before: what they share is at fault."""


class RepeatedFailures(DriverOnly, Callback):
    """Halts the sweep when processes die again and again without a word, or the first trials all fail alike.

    Args:
        study: the truth about the trials.
        stop: asked to end the sweep.
        slots: trials at a time; a node that goes takes as many processes with it.
    """

    def __init__(self, study: SweepStudy, stop: StopRequest, slots: int) -> None:
        self._study, self._stop = study, stop
        self._most = RETRIES + 1 + 2 * slots  # more than one trial alone can die
        self._deaths = 0  # in a row, of processes that had reported nothing
        self._heard: set[str] = set()  # Tune's ids of trials whose process has reported something
        self._errors: list[str] = []

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """A report: processes live."""
        if isinstance(read_result(result), TrialReport):
            self._heard.add(trial.trial_id)
            self._deaths = 0

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A process died, and its trial is tried again."""
        if trial.trial_id in self._heard:
            self._heard.remove(trial.trial_id)
            return
        self._deaths += 1
        if self._deaths >= self._most:
            self._stop.request(
                f"{self._deaths} processes of trials died one after the other before they said anything "
                f"({_reason(trial)}); see to what ends them, by `ray-logs` in the sweep's folder",
                at_once=True,
            )

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A process died, and its trial is lost."""
        self.on_trial_recover(iteration, trials, trial)

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A trial came to an end, perhaps by failing."""
        said = read_result(trial.last_result)
        error = said.error if isinstance(said, TrialFailure) else None
        if error is None or any(record.state in (State.FINISHED, State.STOPPED) for record in self._study.records):
            self._errors.clear()
            return
        self._errors.append(error)
        if len(self._errors) == EQUAL_FAILURES and len(set(self._errors)) == 1:
            self._stop.request(f"the first {EQUAL_FAILURES} trials all failed alike ({error}); see to that")


def _reason(trial: Trial) -> str:
    """What Ray says of a process that died, in its first line that says something."""
    lines = [line.strip() for line in reason_of_death(trial).splitlines()]
    told = [line for line in lines if "Error" in line or "exit" in line]
    return (told or lines or ["Ray says no reason"])[0].partition(" Some common causes")[0][:300]
