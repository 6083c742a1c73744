"""One trial, source stage to target stage: the page to read first.

`run_trial` runs it with a function that hears every report and may stop it; `Trial` is the same, report
by report, for callers that decide in between.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from trainable.checkpoint import resume_target, write_checkpoint
from trainable.compute.device import Ranks
from trainable.loop.training import StageTraining
from trainable.progress import Report
from trainable.settings.config import TrialConfig
from trainable.settings.stage import Stage, Target
from trainable.stages.reuse_frozen import reuse_frozen_output
from trainable.stages.shared_stage import shared_stage
from trainable.stages.stage_builder import StageBuilder
from trainable.stages.stage_cache import TrainedSource
from trainable.store.checksums import check
from trainable.workspace import Workspace


@dataclass(frozen=True)
class TrialResult:
    """What a trial that ran to its end, or was stopped at a report, has reached."""

    value: float | None
    """The best validation value of the trial's metric."""
    metrics: dict[str, float]
    """Of the best evaluation of each stage, by dotted name."""
    finished: bool


@dataclass
class Trial:
    """A trial that can be run report by report, saved in between, and resumed from what was saved."""

    config: TrialConfig
    workspace: Workspace
    resume: Path | None = None
    ranks: Ranks = field(default_factory=Ranks)
    finished: bool = False

    def __post_init__(self) -> None:
        self.builder = StageBuilder(self.config, self.workspace, self.ranks)
        self._source: TrainedSource | None = None
        self._target: StageTraining | None = None

    def reports(self) -> Iterator[Report]:
        """Train the source stage (or take it from the cache), then the target stage."""
        for name, stage in self.config.sources().items():
            yield from self._shared_stage(name, stage)
        for report in self._target_stage(self.config.target):
            self.finished = report.last
            yield report

    def _shared_stage(self, name: str, stage: Stage) -> Iterator[Report]:
        self._source, trained_here = yield from shared_stage(self.builder, name, stage)
        if not trained_here:  # its scores are this trial's too
            yield Report(name, 0, 1.0, 0.0, self._source.metrics, last=True)

    def _target_stage(self, stage: Target) -> Iterator[Report]:
        builder = self.builder
        with builder.clock.part("prepare"):
            prepared, setting = builder.prepared("target", stage), builder.setting("target")
            model, kept = builder.model(prepared, stage, self._source)
            self._target = StageTraining(model, *builder.splits(prepared, stage), stage, setting)
        reuse_frozen_output(builder, self._target, prepared, self._source)
        resumed = self.resume is not None and resume_target(self._target, self.resume)
        if kept and not resumed:
            metrics = self._target.scores()
            yield Report("target", 0, 0.0, 0.0, {f"target.zero_shot.{name}": value for name, value in metrics.items()})
        yield from self._target.reports()

    def result(self) -> TrialResult:
        """What has been reached so far."""
        best = self._target.progress if self._target else None
        source = self._source.metrics if self._source else {}
        return TrialResult(best.best if best else None, source | (best.best_metrics if best else {}), self.finished)

    def save(self, folder: Path) -> None:
        """Write a checkpoint, between two reports: the finished model, or what a resume needs."""
        weights, used = self._source.weights if self._source else (), self.builder.trained_on()
        write_checkpoint(folder, self.config, self._target, weights, self.result().metrics, self.finished, used)


def run_trial(
    config: TrialConfig,
    report: Callable[[Report], bool],
    resume: Path | None = None,
    *,
    workspace: Workspace,
    save_to: Path | None = None,
) -> TrialResult:
    """Run one trial in this process.

    Args:
        config: its settings.
        report: hears every report; the trial stops when it returns False.
        resume: a folder written by `Trial.save`, to go on from.
        workspace: caches and data folders.
        save_to: a folder for the model, or for what a resume needs if the trial was stopped.

    Raises:
        ConfigError: if settings, encoder or data cannot make a trial, or `resume` is damaged.
        TrialError: if it diverges.
    """
    if resume is not None:
        check(resume)
    trial = Trial(config, workspace, resume)
    for said in trial.reports():
        if not report(said):
            break
    if save_to is not None:
        save_to.mkdir(parents=True, exist_ok=True)
        trial.save(save_to)
    return trial.result()
