"""A stage before the target: read from the cache, or trained and stored there for every trial that needs it."""

from collections.abc import Generator

from trainable.loop.optimizers import shares_epochs
from trainable.loop.output_scale import take_scale_out
from trainable.loop.training import StageTraining
from trainable.model.encoder import output_layer
from trainable.progress import Report
from trainable.settings.stage import Source
from trainable.stages.reuse_frozen import reuse_frozen_output
from trainable.stages.stage_builder import StageBuilder
from trainable.stages.stage_cache import (
    STAGE_FILE,
    TrainedSource,
    after,
    is_done,
    load_source,
    shared_epochs_key,
    source_key,
    train_once,
)
from trainable.stages.transfer import weights_in


def are_cached(builder: StageBuilder) -> bool:
    """Return whether all source stages of a trial are trained already, as far as their files show."""
    key, folder = "", builder.workspace.cache / "stages"
    for name, stage in builder.config.source_stages().items():
        key = source_key(builder.config, stage, builder.tokenized(name, stage), builder.context(name), key)
        if not (folder / key / STAGE_FILE).exists():
            return False
    return True


def shared_stage(
    builder: StageBuilder, name: str, stage: Source, before: TrainedSource | None
) -> Generator[Report, None, tuple[TrainedSource, bool]]:
    """Train a stage, or wait until another trial has trained it; yield reports.

    Args:
        builder: builder of the trial's stages.
        name: the dotted name of the stage.
        stage: its settings.
        before: the stage whose weights it begins with; None means the pretrained weights.

    Returns:
        The trained stage, and whether this trial took any of its steps.
    """
    cache, ranks = builder.workspace.cache, builder.ranks
    with builder.clock.part("prepare"):
        tokenized, context = builder.tokenized(name, stage), builder.context(name)
        facts = builder.config, stage, tokenized, context, before.key if before else ""
    folder, trained_here = cache / "stages" / source_key(*facts), False
    if not ranks.broadcast_flag(ranks.rank == 0 and is_done(folder)):
        with builder.clock.part("prepare"):
            model, head_kept = builder.model(tokenized, stage, before)
            training = StageTraining(model, *builder.splits(tokenized, stage), stage, context)
            if head_kept:
                take_scale_out(output_layer(model)[1], training.output_scale)
        if stage.epochs > 1 or shares_epochs(stage):  # a single epoch reads each output once
            reuse_frozen_output(builder, training, tokenized, before)
        earlier = weights_in(model, before.weights) if before else {}
        epochs_folder = cache / "ladders" / shared_epochs_key(*facts)
        for report in train_once(training, builder.head(tokenized), earlier, folder, epochs_folder):
            trained_here = trained_here or report.step > 0  # step 0 means that another trial trains it
            yield report
    return after(before, load_source(folder)), trained_here
