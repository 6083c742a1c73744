"""The callback through which Tune's events reach MLflow and the live view."""

from collections.abc import Callable
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial

from search.ledger import Ledger
from search.records import State
from search.tracking import Tracker


class SweepEvents(Callback):
    """Tells the tracker what happens to each trial, in the words of the ledger.

    Args:
        ledger: the truth about the trials.
        tracker: the MLflow runs.
        parameters: all settings of a trial by dotted name, given its number.
        show: called after each event, to redraw.
    """

    def __init__(
        self,
        ledger: Ledger,
        tracker: Tracker,
        parameters: Callable[[int], dict[str, Any]],
        show: Callable[[], None],
    ) -> None:
        self._ledger, self._tracker, self._parameters, self._show = ledger, tracker, parameters, show

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its callbacks into a file that is never read here."""
        return {}

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Redraw, so that clocks move while trials train."""
        self._show()

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Open the trial's run."""
        number = trial.config["number"]
        record = self._ledger.record(number)
        tags = {
            "transfersweep.role": record.role,
            **({"transfersweep.of": str(record.of)} if record.of is not None else {}),
        }
        self._tracker.start_trial(number, self._parameters(number), tags)

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """Write the report's scores."""
        metrics = dict(result["metrics"])
        if metrics:
            metrics[f"{result['stage']}.epoch"] = result["epoch"]
            self._tracker.log(trial.config["number"], metrics, result["stage_step"])

    def on_checkpoint(self, iteration: int, trials: list[Trial], trial: Trial, checkpoint: Any, **info: Any) -> None:
        """Note where the newest checkpoint lies."""
        self._ledger.keep(trial.config["number"], str(checkpoint.path))

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Close the trial's run with the state that the ledger has."""
        self._close(trial.config["number"])

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """The same for a trial that was lost."""
        self._close(trial.config["number"])

    def _close(self, number: int) -> None:
        record = self._ledger.record(number)
        if record.state is not State.RUNNING:
            self._tracker.end_trial(number, record.state, record.error)
        self._show()
