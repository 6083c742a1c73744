"""One trial, source stage to target stage: the page to read first.

`run_trial` runs it with a function that hears every report and may stop it; `Trial` is the same, report
by report, for callers that decide in between.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from trainable.checkpoint import resume_target, write_checkpoint
from trainable.clock import Clock
from trainable.compute.device import Ranks, pick_device, resolve_precision
from trainable.errors import ConfigError
from trainable.inputs.frozen_output import FrozenOutputStore
from trainable.inputs.prepare import Prepared, stage_data, subset
from trainable.inputs.split import Split
from trainable.inputs.token_inputs import token_inputs
from trainable.loop.optimizers import STEADY
from trainable.loop.training import StageTraining
from trainable.model.encoder import checked_limits, fingerprint, new_model
from trainable.model.limits import limit_problems
from trainable.progress import Report, Setting
from trainable.settings.config import TrialConfig
from trainable.settings.stage import Stage
from trainable.stages.stage_cache import TrainedSource, is_done, load_source, source_key, train_once, trunk_key
from trainable.stages.trained_on import StageData, TrainedOn
from trainable.stages.transfer import transfer
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
        if problems := limit_problems(self.config.model_dump(), checked_limits(self.config.encoder)):
            raise ConfigError(problems)
        if not self.workspace.allows(fingerprint(self.config.encoder)):
            raise ConfigError(f"encoder: {self.config.encoder!r}: its weights were changed while the sweep ran")
        self.device, self.clock = pick_device(), Clock()
        self._target: StageTraining | None = None
        self._source: TrainedSource | None = None
        self._source_key = ""
        self._encoder, self._data = fingerprint(self.config.encoder), dict[str, StageData]()

    def reports(self) -> Iterator[Report]:
        """Train the source stage (or take it from the cache), then the target stage."""
        if self.config.source is not None and self.config.source.enabled:
            yield from self._train_source(self.config.source)
        for report in self._train_target(self.config.target):
            self.finished = report.last
            yield report

    def _train_source(self, stage: Stage) -> Iterator[Report]:
        with self.clock.part("prepare"):
            prepared, setting = self.prepared(stage), self.setting("source")
            self._source_key = source_key(self.config, prepared, setting)
        folder = self.workspace.cache / "stages" / self._source_key
        trained_here = False
        if not self.ranks.broadcast_flag(self.ranks.rank == 0 and is_done(folder)):
            with self.clock.part("prepare"):
                model = new_model(self.config.encoder, prepared.label_names, self.config.seed, stage.dropout)
                training = StageTraining(model, *self.splits(prepared, stage), stage, setting)
            if stage.epochs > 1 or stage.schedule in STEADY:  # a single epoch reads each output once
                self._reuse_frozen_output(training, prepared)
            trunk = self.workspace.cache / "ladders" / trunk_key(self.config, prepared, setting)
            for report in train_once(training, prepared.label_names, folder, trunk):
                trained_here = trained_here or report.step > 0  # step 0 says only that another trial trains it
                yield report
        self._source = load_source(folder)
        if not trained_here:  # its scores are this trial's too
            yield Report("source", 0, 1.0, 0.0, self._source.metrics, last=True)

    def _train_target(self, stage: Stage) -> Iterator[Report]:
        source, head = self._source, self.config.target.head
        with self.clock.part("prepare"):
            prepared, setting = self.prepared(stage), self.setting("target")
            model = new_model(self.config.encoder, prepared.label_names, self.config.seed, stage.dropout)
            kept = source is not None and transfer(source, model, prepared.label_names, head)
            self._target = StageTraining(model, *self.splits(prepared, stage), stage, setting)
        self._reuse_frozen_output(self._target, prepared)
        resumed = self.resume is not None and resume_target(self._target, self.resume)
        if kept and not resumed:
            metrics = self._target.scores()
            yield Report("target", 0, 0.0, 0.0, {f"target.zero_shot.{name}": value for name, value in metrics.items()})
        yield from self._target.reports()

    def _reuse_frozen_output(self, training: StageTraining, prepared: Prepared) -> None:
        """Let a stage with frozen layers take their output from the cache."""
        stage, config = training.stage, self.config
        if not (stage.frozen_layers and self.workspace.reuse_frozen):
            return
        if stage.padding == "fixed":
            training.note_no_reuse("`padding: fixed` computes the padding too; `padding: longest` reuses it")
            return
        frozen = {id(p) for module in training.frozen for p in module.parameters()}
        names = {name for name, p in training.model.named_parameters() if id(p) in frozen}
        changed = self._source is not None and not names.isdisjoint(self._source.weights)
        weights = f"{fingerprint(config.encoder)}:{self._source_key if changed else 'pretrained'}"
        precision = training.setting.precision
        folder = self.workspace.cache / "prefix"
        with self.clock.part("frozen layers"):
            training.reuse_frozen_output(
                FrozenOutputStore(folder, weights, prepared.fingerprint, precision, self.device)
            )

    def prepared(self, stage: Stage) -> Prepared:
        """A stage's data as token ids.

        Raises:
            ConfigError: if they are wrong, or no longer those that the sweep began with.
        """
        made = stage_data(self.config, stage, self.workspace)
        name = "source" if stage is self.config.source else "target"
        self._data[name] = StageData.of(made)
        if not self.workspace.allows(made.data_fingerprint, made.tokenizer_fingerprint):
            raise ConfigError(f"{name}: the data set {made.name!r} or its tokenizer was changed while the sweep ran")
        return made

    def splits(self, prepared: Prepared, stage: Stage) -> tuple[Split, Split]:
        """The training and validation splits of a stage as a model takes them."""
        rows = subset(prepared.splits["train"].labels, stage.train_rows, self.config.dataset_of(stage).split_seed)
        return token_inputs(prepared.splits["train"], stage, rows), token_inputs(prepared.splits["validation"], stage)

    def setting(self, name: str) -> Setting:
        """What a stage needs to know beside its own settings."""
        config = self.config
        precision = resolve_precision(config.precision, self.device)
        batches = config.micro_batches
        return Setting(name, config.metric, config.seed, precision, self.device, batches, self.ranks, self.clock)

    def result(self) -> TrialResult:
        """What has been reached so far."""
        best = self._target.progress if self._target else None
        source = self._source.metrics if self._source else {}
        return TrialResult(best.best if best else None, source | (best.best_metrics if best else {}), self.finished)

    def save(self, folder: Path) -> None:
        """Write a checkpoint, between two reports: the finished model, or what a resume needs."""
        used = TrainedOn(self._encoder, self._data)
        source = self._source.weights if self._source else ()
        write_checkpoint(folder, self.config, self._target, source, self.result().metrics, self.finished, used)


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
