"""A stage before the target: read from the cache, or trained and stored there for every trial that needs it."""

from collections.abc import Generator

from trainable.loop.optimizers import CONSTANT_AFTER_WARMUP
from trainable.loop.training import StageTraining
from trainable.progress import Report
from trainable.settings.stage import Stage
from trainable.stages.reuse_frozen import reuse_frozen_output
from trainable.stages.stage_builder import StageBuilder
from trainable.stages.stage_cache import (
    STAGE_FILE,
    TrainedSource,
    is_done,
    load_source,
    shared_epochs_key,
    source_key,
    train_once,
)


def is_cached(builder: StageBuilder, name: str, stage: Stage) -> bool:
    """Return whether a stage is trained already, as far as its files show."""
    key = source_key(builder.config, builder.tokenized(name, stage), builder.context(name))
    return (builder.workspace.cache / "stages" / key / STAGE_FILE).exists()


def shared_stage(builder: StageBuilder, name: str, stage: Stage) -> Generator[Report, None, tuple[TrainedSource, bool]]:
    """Train a stage, or wait until another trial has trained it; yield reports.

    Returns:
        The trained stage, and whether this trial took any of its steps.
    """
    config, cache, ranks = builder.config, builder.workspace.cache, builder.ranks
    with builder.clock.part("prepare"):
        tokenized, context = builder.tokenized(name, stage), builder.context(name)
        folder = cache / "stages" / source_key(config, tokenized, context)
    trained_here = False
    if not ranks.broadcast_flag(ranks.rank == 0 and is_done(folder)):
        with builder.clock.part("prepare"):
            model, _ = builder.model(tokenized, stage)
            training = StageTraining(model, *builder.splits(tokenized, stage), stage, context)
        if stage.epochs > 1 or stage.schedule in CONSTANT_AFTER_WARMUP:  # a single epoch reads each output once
            reuse_frozen_output(builder, training, tokenized, None)
        epochs_folder = cache / "ladders" / shared_epochs_key(config, tokenized, context)
        for report in train_once(training, builder.head(tokenized), folder, epochs_folder):
            trained_here = trained_here or report.step > 0  # step 0 means that another trial trains it
            yield report
    return load_source(folder), trained_here
