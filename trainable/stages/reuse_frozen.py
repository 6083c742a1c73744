"""Decides whether a stage reuses the output of its frozen layers, and which stored output it may use."""

from trainable.inputs.frozen_output import FrozenOutputStore
from trainable.inputs.prepare import TokenizedDataset
from trainable.inputs.split import has_several_sequences
from trainable.loop.training import StageTraining
from trainable.model.pooled import pooling_of
from trainable.model.pooling import BI_ENCODER
from trainable.stages.stage_builder import StageBuilder
from trainable.stages.stage_cache import TrainedSource
from trainable.stages.transfer import weights_in


def reuse_frozen_output(
    builder: StageBuilder, training: StageTraining, tokenized: TokenizedDataset, before: TrainedSource | None
) -> None:
    """Let a stage with frozen layers reuse their cached output; if that is not possible, the clock notes why.

    Args:
        builder: builder of the trial's stages.
        training: the stage, before its first step.
        tokenized: its data.
        before: the stage whose weights are in the model; None means the pretrained weights.
    """
    stage = training.stage
    if not (stage.frozen_layers and builder.workspace.reuse_frozen):
        return
    if stage.padding == "fixed":
        training.reuse.note_none("`padding: fixed` computes the padding too; `padding: longest` reuses it")
        return
    if training.steps.train.inputs.varies:
        training.reuse.note_none("the inputs are other ones at each step")
        return
    if pooling_of(training.model) == BI_ENCODER:
        training.reuse.note_none("`pooling: bi_encoder` encodes two texts for each row")
        return
    if any(has_several_sequences(split.inputs) for split in (training.steps.train, training.validation)):
        training.reuse.note_none("each row is several sequences")
        return
    if pooling_of(training.model) == "decoder":
        training.reuse.note_none("the decoder reads the encoder's output beside the target text")
        return
    frozen = {id(p) for module in training.frozen for p in module.parameters()}
    names = {name for name, p in training.model.named_parameters() if id(p) in frozen}
    trained = {} if before is None else weights_in(training.model, before.weights)
    origin = "pretrained" if before is None or names.isdisjoint(trained) else before.key
    folder, precision = builder.workspace.cache / "prefix", training.context.precision
    store = FrozenOutputStore(folder, f"{builder.encoder}:{origin}", tokenized.fingerprint, precision, builder.device)
    with builder.clock.part("frozen layers"):
        training.reuse_frozen_output(store)
