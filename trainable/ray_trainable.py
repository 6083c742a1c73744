"""The trial as Ray runs it: a Tune trainable whose actor is reused, alone or at the head of a Ray Train worker group.

With one worker the trial runs in the Tune actor itself: Python, torch, tokens and base weights are paid for
once a slot. With several, it leads the worker group of `trainable/ray_group.py`. No other file knows Ray.
"""

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any, NoReturn, Protocol

import torch
import transformers
from ray import tune
from ray.exceptions import RayError
from ray.tune.result import SHOULD_CHECKPOINT

from trainable.config import build_config
from trainable.device import is_poisoned
from trainable.errors import PeerDiedError, disk_is_full, in_words
from trainable.progress import Report
from trainable.ray_group import GroupRunner
from trainable.seal import intact
from trainable.trial import Trial, Workspace

START_AGAIN = "the trial starts again from its beginning"


class Runner(Protocol):
    """Runs one trial after another, report by report."""

    def start(self, settings: dict[str, Any], resume: Path | None) -> None:
        """Begin a trial, giving up the one before."""

    def next_report(self) -> Report:
        """Go on to the next report."""

    def save(self, folder: Path) -> None:
        """Write a checkpoint, between two reports."""

    def close(self) -> None:
        """Release everything."""


class TuneTrial(tune.Trainable):
    """One trial at a time for Ray Tune; a step is the way from one report to the next.

    Its Tune config holds `trial` (nested settings), `checkpoint_seconds`, `resume` (a checkpoint folder or
    None) and `compare` (whether a scheduler may compare it with others).
    """

    def setup(  # type: ignore[override]  # the further arguments come from `tune.with_parameters`
        self, config: dict[str, Any], workspace: Workspace, workers: dict[str, Any]
    ) -> None:
        """Prepare the slot; called once an actor."""
        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        count = workers["count"]
        self._runner: Runner = LocalRunner(workspace, workers) if count == 1 else GroupRunner(workspace, workers)
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next trial into the warm slot."""
        self._begin(new_config)
        return True

    def _begin(self, config: dict[str, Any]) -> None:
        self._settings, self._compare = config["trial"], config["compare"]
        self._metric = self._settings.get("metric", "macro_f1")
        self._checkpoint_seconds = config["checkpoint_seconds"]
        self._resume = intact(Path(config["resume"]), START_AGAIN) if config["resume"] else None
        self._started = False
        self._saved = 0.0
        self._best = self._best_in(self._resume)

    def step(self) -> dict[str, Any]:
        """Run to the next report. A trial that cannot go on ends here, with its `error`: only deaths are retried."""
        try:
            if not self._started:
                self._runner.start(self._settings, self._resume)
                self._started = True
            report = self._runner.next_report()
        except (PeerDiedError, RayError):
            raise
        except Exception as error:
            if is_poisoned(error):
                _die(error)
            if disk_is_full(error):
                return {"disk_is_full": True, "done": True, "finished": False, "metrics": {}}
            # Whatever else it is, it would come again: the same settings on the same data.
            return {"error": in_words(error), "done": True, "finished": False, "metrics": {}}
        in_target = report.stage == "target"
        finished = in_target and report.last
        value = report.metrics.get(f"target.validation.{self._metric}")
        result = {
            "stage": report.stage,
            "stage_step": report.step,
            "epoch": report.epoch,
            "share": report.progress if in_target else 0.0,
            "progress": 100 * report.progress if in_target and self._compare else 0.0,
            "metrics": report.metrics,
            "times": json.dumps(report.times),  # as text: Tune flattens what is nested
            "improved": report.improved and in_target,
            "source_ready": report.stage == "source" and report.last,
            "finished": finished,
            "done": finished,
        }
        if value is not None:
            self._best = value if report.improved or self._best is None else self._best
            result["value"] = self._best
        due = in_target and self._time_total - self._saved > self._checkpoint_seconds
        if finished or due:
            self._saved = self._time_total
            result[SHOULD_CHECKPOINT] = True
        return result

    def _best_in(self, folder: Path | None) -> float | None:
        """The best value so far of the trial that a checkpoint belongs to."""
        file = folder / "trial.json" if folder else None
        if file is None or not file.exists():
            return None
        value: float | None = json.loads(file.read_text())["metrics"].get(f"target.validation.{self._metric}")
        return value

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Write what `Trial.save` writes."""
        if self._started:
            self._runner.save(Path(checkpoint_dir))

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Go on from a checkpoint after a death; Ray's folder does not outlive this call."""
        if (Path(checkpoint) / "trial.json").exists():
            kept = Path(tempfile.mkdtemp(dir=self.logdir))
            self._resume = intact(Path(shutil.copytree(checkpoint, kept, dirs_exist_ok=True)), START_AGAIN)
            self._saved, self._best = self._time_total, self._best_in(self._resume)
            self._started = False

    def cleanup(self) -> None:
        """Release the worker group."""
        self._runner.close()


def _die(error: Exception) -> NoReturn:
    """End this process, so that Tune takes the trial to a new one, from its last checkpoint; a death is retried."""
    print(f"this process ends, as its GPU can no longer be used: {in_words(error)}", file=sys.stderr, flush=True)
    os._exit(1)


class LocalRunner:
    """Trials in this very process."""

    def __init__(self, workspace: Workspace, workers: dict[str, Any]) -> None:
        self.workspace = workspace
        torch.set_num_threads(workers["threads"])

    def start(self, settings: dict[str, Any], resume: Path | None) -> None:
        """Begin a trial, giving up the one before."""
        self._trial = Trial(build_config(settings), self.workspace, resume)
        self._reports = self._trial.reports()

    def next_report(self) -> Report:
        """Go on to the next report."""
        return next(self._reports)

    def save(self, folder: Path) -> None:
        """Write a checkpoint, between two reports."""
        self._trial.save(folder)

    def close(self) -> None:
        """Nothing to release: the process ends with the actor."""
