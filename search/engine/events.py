"""The callback that forwards Tune's events to MLflow and the live view."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial

from search.cluster.driver_only import DriverOnly
from search.engine.activities import Activities
from search.engine.mlflow_trials import MlflowTrials
from search.study.sweep_study import SweepStudy
from trainable.checkpoint import MODEL_FILE
from trainable.workers.messages import TrialReport, key_of_task, read_result


class SweepEvents(DriverOnly, Callback):
    """Updates the trials' MLflow runs and redraws the live view.

    Args:
        study: the record of all trials; the searcher updates it before Tune calls this callback.
        runs: the trials' MLflow runs.
        activities: what the running trials do.
        show: redraws the view; called after each event.
    """

    def __init__(self, study: SweepStudy, runs: MlflowTrials, activities: Activities, show: Callable[[], None]) -> None:
        self._study, self._runs, self._activities, self._show = study, runs, activities, show

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Redraw, so that clocks move while trials train."""
        self._activities.see(trials)
        self._show()

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Open the trial's MLflow run."""
        self._runs.open(key_of_task(trial.config))

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """Log the report's scores to MLflow."""
        if isinstance(report := read_result(result), TrialReport):
            self._activities.report(key_of_task(trial.config), report)
            self._runs.log(key_of_task(trial.config), report)

    def on_checkpoint(self, iteration: int, trials: list[Trial], trial: Trial, checkpoint: Any, **info: Any) -> None:
        """Store the path of the newest checkpoint in the study."""
        is_model = (Path(checkpoint.path) / MODEL_FILE).exists()
        self._study.set_checkpoint(key_of_task(trial.config), str(checkpoint.path), is_model)

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Close the trial's MLflow run, unless the trial is only paused."""
        self._activities.end(key_of_task(trial.config))
        self._runs.close(key_of_task(trial.config))
        self._runs.close_ended()
        self._show()

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Close the MLflow run of a lost trial."""
        self.on_trial_complete(iteration, trials, trial)
