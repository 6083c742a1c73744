"""The Tune trainable: an actor that Tune reuses for one trial after another (a slot).

With one worker, the trial runs in the actor itself, so that a slot imports torch and loads tokens and base weights only
once. With several, the actor keeps a worker group alive over all its trials (`worker_group.py`).
"""

import os
import sys
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import transformers
from ray import tune
from ray.exceptions import RayError
from ray.tune.result import DONE, SHOULD_CHECKPOINT

from trainable.checkpoint import best_value
from trainable.compute.device import gpu_is_unusable
from trainable.deadline import Deadline
from trainable.errors import PeerDiedError, disk_is_full, error_text
from trainable.progress import Report
from trainable.store.checksums import verify_or_warn
from trainable.store.files import write_folder
from trainable.workers.messages import Resources, TrialFailure, TrialReport, TrialTask
from trainable.workers.runner import LocalRunner, Runner
from trainable.workers.worker_group import GroupRunner
from trainable.workspace import Workspace

START_AGAIN = "the trial starts again from its beginning"


class TuneTrial(tune.Trainable):
    """Runs one trial at a time for Ray Tune; a step trains to the trial's next report.

    Its Tune config is a `TrialTask`, its results are `TrialReport`s or a `TrialFailure`.
    """

    def setup(  # type: ignore[override]  # the further arguments come from `tune.with_parameters`
        self, config: dict[str, Any], workspace: Workspace, workers: Resources
    ) -> None:
        """Prepare the slot and its first trial; Tune calls this once for each actor."""
        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        self._runner: Runner = (
            LocalRunner(workspace, workers) if workers.count == 1 else GroupRunner(workspace, workers)
        )
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Begin the next trial in the same process."""
        self._begin(new_config)
        return True

    def _begin(self, config: dict[str, Any]) -> None:
        self._task = TrialTask.from_config(config)
        self._metric = self._task.trial.get("metric", "macro_f1")
        self._resume = verify_or_warn(Path(self._task.resume), START_AGAIN) if self._task.resume else None
        self._deadline = Deadline(self._task.deadline)
        self._started = False
        self._ends = False
        self._saved = 0.0
        self._best = best_value(self._resume, self._metric)

    def step(self) -> dict[str, Any]:
        """Train to the next report and return it as a Tune result.

        A trial that cannot continue ends here with its `error`: Tune retries only a trial whose process died.
        """
        try:
            if not self._started:
                self._runner.start(self._task.trial, self._resume, self._deadline)
                self._started = True
            stage_report = self._runner.next_report()
        except (PeerDiedError, RayError):
            raise
        except Exception as error:
            if gpu_is_unusable(error):
                _die(error)
            if disk_is_full(error):
                return TrialFailure(disk_is_full=True).to_result() | {DONE: True}
            # Any other error would occur again, with the same settings on the same data.
            return TrialFailure(error_text(error)).to_result() | {DONE: True}
        report = self._trial_report(stage_report)
        done = report.finished or report.cut or self._deadline.left() <= 0
        result = report.to_result() | {DONE: done}
        due = report.of_target and self._time_total - self._saved > self._task.checkpoint_seconds
        if report.finished or due:
            self._saved = self._time_total
            result[SHOULD_CHECKPOINT] = True
        return result

    def _trial_report(self, report: Report) -> TrialReport:
        """Return the report of the trial that belongs to a report of one of its stages."""
        in_target = report.stage == "target"
        value = report.metrics.get(f"target.validation.{self._metric}")
        if value is not None and (report.improved or self._best is None):
            self._best = value
        return TrialReport(
            stage=report.stage,
            stage_step=report.step,
            epoch=report.epoch,
            stage_done=report.progress,
            fraction_done=report.progress if in_target else 0.0,
            percent_done=100 * report.progress if in_target and self._task.compare else 0.0,
            value=None if value is None else self._best,
            metrics=report.metrics,
            improved=report.improved and in_target,
            source_ready=report.last and not in_target,
            finished=in_target and report.last,
            cut=report.cut,
            times=report.times,
            notes=report.notes,
        )

    def end(self) -> None:
        """Let the next checkpoint hold the model with the best weights so far; the driver calls this for a last one."""
        self._ends = True

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Write nothing: Ray would copy it file by file to a folder where others could read half a checkpoint."""

    def save(self, checkpoint_dir: str | None = None) -> Any:
        """Write a checkpoint atomically to the folder that Ray chose, before Ray deletes the previous one."""
        saved = super().save(checkpoint_dir)
        if self._started:
            save = partial(self._runner.save, ends=self._ends)
            write_folder(Path(saved.checkpoint.path), save)  # type: ignore[union-attr]  # never None
        return saved

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Continue from a checkpoint after a process of the trial died."""
        if (Path(checkpoint) / "trial.json").exists():
            self._resume = verify_or_warn(Path(checkpoint), START_AGAIN)
            self._saved, self._best = self._time_total, best_value(self._resume, self._metric)
            self._started = False

    def cleanup(self) -> None:
        """End the worker group, if there is one."""
        self._runner.close()


def _die(error: Exception) -> NoReturn:
    """End this process, so that Tune continues the trial in a new process from its last checkpoint."""
    print(f"this process ends, as its GPU can no longer be used: {error_text(error)}", file=sys.stderr, flush=True)
    os._exit(1)
