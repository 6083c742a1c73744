"""One trial: train the source stages, then the target stage. Read this module first.

`run_trial` calls a function with each report. `Trial` yields the reports, so its caller can save or stop in between.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from trainable.checkpoint import CheckpointState, resume_target, write_checkpoint
from trainable.compute.device import Ranks
from trainable.deadline import NO_DEADLINE, Deadline
from trainable.loop.training import StageTraining
from trainable.progress import Progress, Report, TrialResult
from trainable.settings.config import TrialConfig
from trainable.settings.stage import Source, Target
from trainable.stages.shared_stage import shared_stage
from trainable.stages.stage_builder import StageBuilder
from trainable.stages.stage_cache import TrainedSource
from trainable.stages.target_stage import begin_head, target_stage
from trainable.store.checksums import verify_checksums
from trainable.workspace import Workspace


@dataclass
class Trial:
    """A trial that runs report by report; it can be saved between two reports, and resumed from there."""

    config: TrialConfig
    workspace: Workspace
    resume: Path | None = None
    ranks: Ranks = field(default_factory=Ranks)
    deadline: Deadline = NO_DEADLINE
    finished: bool = False

    def __post_init__(self) -> None:
        self.builder = StageBuilder(self.config, self.workspace, self.ranks, deadline=self.deadline)
        self.config = self.builder.config  # resolved
        self._ended = False
        self._source: TrainedSource | None = None
        self._target: StageTraining | None = None

    def reports(self) -> Iterator[Report]:
        """Train the source stages, or read them from the cache, then train the target stage; end at the deadline."""
        for report in self._stages():
            self.finished = report.last and report.stage == "target"
            yield report
            if report.cut:
                return

    def _stages(self) -> Iterator[Report]:
        for name, stage in self.config.source_stages().items():
            yield from self._shared_stage(name, stage)
        yield from self._target_stage(self.config.target)

    def _shared_stage(self, name: str, stage: Source) -> Iterator[Report]:
        self._source, trained_here = yield from shared_stage(self.builder, name, stage, self._source)
        if not trained_here:  # the scores of the cached stage are scores of this trial, too
            yield Report(name, 0, 1.0, 0.0, self._source.metrics, last=True)

    def _target_stage(self, stage: Target) -> Iterator[Report]:
        self._target, head_kept = target_stage(self.builder, stage, self._source)
        if self.resume is None or not resume_target(self._target, self.resume):
            yield from begin_head(self.builder, self._target, head_kept)
        yield from self._target.reports()

    def result(self) -> TrialResult:
        """Return the result so far."""
        target = self._target.progress if self._target else Progress()
        source_metrics = self._source.metrics if self._source else {}
        return TrialResult(target.best, source_metrics | target.best_metrics, self.finished)

    def end(self) -> None:
        """Let `save` write the model with the best weights so far, though the trial has not finished.

        Call it after an evaluation of the target stage; no report may follow.
        """
        assert self._target is not None  # it has been evaluated
        self._target.finish()
        self._ended = True

    def save(self, folder: Path) -> None:
        """Write a checkpoint: the model if the trial has finished or `end` was called, else the state for a resume."""
        source_weights = self._source.weights if self._source else {}
        state: CheckpointState = "finished" if self.finished else "ended" if self._ended else "running"
        metrics, used = self.result().metrics, self.builder.trained_on()
        write_checkpoint(folder, self.builder.config, self._target, source_weights, metrics, state, used)


def run_trial(
    config: TrialConfig,
    on_report: Callable[[Report], bool],
    resume: Path | None = None,
    *,
    workspace: Workspace,
    save_to: Path | None = None,
) -> TrialResult:
    """Run one trial in this process.

    Args:
        config: settings of the trial.
        on_report: called with each report; the trial stops when it returns False.
        resume: a folder written by `Trial.save`, from which the trial continues.
        workspace: the cache and the data folders.
        save_to: a folder in which `Trial.save` writes at the end.

    Raises:
        ConfigError: if settings, encoder or data are wrong, or `resume` is damaged.
        TrialError: if the training diverges.
    """
    if resume is not None:
        verify_checksums(resume)
    trial = Trial(config, workspace, resume)
    for report in trial.reports():
        if not on_report(report):
            break
    if save_to is not None:
        save_to.mkdir(parents=True, exist_ok=True)
        trial.save(save_to)
    return trial.result()
