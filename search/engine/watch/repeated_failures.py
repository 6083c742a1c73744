"""Ends a sweep early if its trials fail for a shared cause, such as a broken GPU driver, not for their settings."""

from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial

from search.cluster.driver_only import DriverOnly
from search.cluster.ray_internals import reason_of_death
from search.engine.schedule.slots import Slots
from search.engine.watch.retries import RETRIES
from search.engine.watch.stop_request import StopRequest
from search.record.records import State
from search.study.sweep_study import SweepStudy
from trainable.workers.messages import TrialFailure, TrialReport, read_result

EQUAL_FAILURES = 5
"""If this many trials fail with the same message before any other succeeds, the cause is something they share."""


class RepeatedFailures(DriverOnly, Callback):
    """Stops the sweep if many processes in a row die without any report, or if the first trials all fail the same way.

    Args:
        study: the record of all trials.
        stop: receives the request to end the sweep.
        slots: trials that run at a time; the loss of nodes can end this many processes at once.
    """

    def __init__(self, study: SweepStudy, stop: StopRequest, slots: Slots) -> None:
        self._study, self._stop, self._slots = study, stop, slots
        self._deaths = 0  # in a row, of processes that had not reported anything
        self._reported: set[str] = set()  # Tune's ids of trials whose current process has reported
        self._errors: list[str] = []

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """Reset the count of deaths, as a process has reported."""
        if isinstance(read_result(result), TrialReport):
            self._reported.add(trial.trial_id)
            self._deaths = 0

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Count the death of a process whose trial Tune starts again."""
        if trial.trial_id in self._reported:
            self._reported.remove(trial.trial_id)
            return
        self._deaths += 1
        if self._deaths >= RETRIES + 1 + 2 * self._slots.most:  # one trial alone cannot cause this many
            self._stop.request(
                f"{self._deaths} trial processes in a row died before their first report ({_reason(trial)}); "
                f"find the cause in `ray-logs` in the sweep's folder and remove it",
                at_once=True,
            )

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Count the death of a process whose trial is lost."""
        self.on_trial_recover(iteration, trials, trial)

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Collect the message of a failed trial; any success in the sweep clears the messages."""
        message = read_result(trial.last_result)
        error = message.error if isinstance(message, TrialFailure) else None
        if error is None or any(record.state in (State.FINISHED, State.STOPPED) for record in self._study.records):
            self._errors.clear()
            return
        self._errors.append(error)
        if len(self._errors) == EQUAL_FAILURES and len(set(self._errors)) == 1:
            self._stop.request(
                f"the first {EQUAL_FAILURES} trials all failed in the same way ({error}); remove the cause"
            )


def _reason(trial: Trial) -> str:
    """Return why a process died, in Ray's words: the first line with an error or an exit code."""
    lines = [line.strip() for line in reason_of_death(trial).splitlines()]
    telling = [line for line in lines if "Error" in line or "exit" in line]
    return (telling or lines or ["Ray gives no reason"])[0].partition(" Some common causes")[0][:300]
