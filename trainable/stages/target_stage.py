"""Prepares the target stage: its model with the source's weights, and a head to begin with."""

from collections.abc import Iterator
from functools import partial

from trainable.loop.output_scale import take_scale_out
from trainable.loop.probe import probe_head
from trainable.loop.training import StageTraining
from trainable.model.encoder import output_layer
from trainable.model.pooled import reads_one_vector
from trainable.progress import Report
from trainable.settings.stage import Target
from trainable.stages.reuse_frozen import reuse_frozen_output
from trainable.stages.stage_builder import StageBuilder
from trainable.stages.stage_cache import TrainedSource


def target_stage(builder: StageBuilder, stage: Target, source: TrainedSource | None) -> tuple[StageTraining, bool]:
    """Return the target stage before its first step, and whether it keeps the head of the source."""
    with builder.clock.part("prepare"):
        tokenized, context = builder.tokenized("target", stage), builder.context("target")
        model, head_kept = builder.model(tokenized, stage, source)
        training = StageTraining(model, *builder.splits(tokenized, stage), stage, context)
        if head_kept:
            take_scale_out(output_layer(model)[1], training.output_scale)
    reuse_frozen_output(builder, training, tokenized, source)
    if stage.objective == "contrastive":
        training.before_evaluation = partial(_probe, builder, training)
    return training, head_kept


def begin_head(builder: StageBuilder, training: StageTraining, head_kept: bool) -> Iterator[Report]:
    """Probe for the head if the settings say so; yield the scores of a head that is not random before the first step.

    Args:
        builder: of the trial.
        training: the target stage, before its first step.
        head_kept: whether its head is that of the source.
    """
    stage = training.stage
    assert isinstance(stage, Target)
    probes = stage.head == "probe" or (stage.head == "keep_or_probe" and not head_kept)
    # A head on every token, or on the choices of a row, begins at random.
    probes = probes and reads_one_vector(training.model) and not training.steps.train.inputs.answers
    if probes:
        _probe(builder, training)
    if stage.fold is not None and (head_kept or probes):
        yield training.evaluate_start(zero_shot=head_kept)


def _probe(builder: StageBuilder, training: StageTraining) -> None:
    with builder.clock.part("probe"):
        probe_head(training)
