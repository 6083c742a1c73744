"""The callback through which Tune's events reach MLflow and the live view."""

from collections.abc import Callable
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial

from search.engine.driver_only import DriverOnly
from search.engine.mlflow_trials import MlflowTrials
from search.study.sweep_study import SweepStudy
from trainable.workers.messages import TrialReport, key_of_task, read_result


class SweepEvents(DriverOnly, Callback):
    """Tells the trials' runs what happens, and redraws.

    Args:
        study: the truth about the trials; the searcher has told it before this callback hears.
        runs: the trials' MLflow runs.
        show: called after each event.
    """

    def __init__(self, study: SweepStudy, runs: MlflowTrials, show: Callable[[], None]) -> None:
        self._study, self._runs, self._show = study, runs, show

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Redraw, so that clocks move while trials train."""
        self._show()

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Open the trial's run."""
        self._runs.open(key_of_task(trial.config))

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """Write the report's scores."""
        if isinstance(said := read_result(result), TrialReport):
            self._runs.log(key_of_task(trial.config), said)

    def on_checkpoint(self, iteration: int, trials: list[Trial], trial: Trial, checkpoint: Any, **info: Any) -> None:
        """Note where the newest checkpoint lies."""
        self._study.set_checkpoint(key_of_task(trial.config), str(checkpoint.path))

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Close the trial's run, unless it is but paused."""
        self._runs.close(key_of_task(trial.config))
        self._runs.close_ended()
        self._show()

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Close the run of a trial that was lost."""
        self.on_trial_complete(iteration, trials, trial)
