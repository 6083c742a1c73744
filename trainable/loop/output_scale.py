"""Moves the scale of a model's outputs into its output layer and out of it; see `OutputScale`."""

from collections.abc import Mapping
from typing import Any

import torch
from numpy.typing import NDArray
from torch import nn
from transformers import PreTrainedModel

from trainable.errors import TrialError
from trainable.model.encoder import output_layer
from trainable.model.spans import InSpans
from trainable.progress import StageContext
from trainable.settings.stage import AUTO_THRESHOLD, Stage
from trainable.tasks.task import NO_SCALE, OutputScale
from trainable.tasks.threshold import decide, fixed_cut


def checked_scale(scale: OutputScale, model: PreTrainedModel, stage: Stage) -> OutputScale:
    """Return the scale of a model's outputs.

    Raises:
        TrialError: if the model's output layer has no bias, which the mean of the labels and a threshold need.
    """
    needs = "a regression" if scale != NO_SCALE else "a threshold" if stage.decides_at != AUTO_THRESHOLD else ""
    if needs and "bias" not in dict(output_layer(model)[1].named_parameters()):
        raise TrialError(f"the head of this encoder has no bias, which {needs} needs; set `pooling: mean`")
    return scale


@torch.no_grad()
def put_scale_in(model: PreTrainedModel, scale: OutputScale, subtracted: torch.Tensor | None = None) -> None:
    """Let a model that gives standardised values give the labels' own units, minus what a cut subtracts."""
    head = output_layer(model)[1]
    if scale != NO_SCALE:
        head.weight.mul_(scale.spread)
        head.bias.mul_(scale.spread).add_(scale.mean)
    if subtracted is None or not subtracted.any():
        return
    if isinstance(model, InSpans):  # its outputs are not those of its output layer
        model.subtract(subtracted)
    else:
        head.bias.sub_(subtracted.to(head.bias))


def chosen_cut(best_metrics: Mapping[str, float], context: StageContext, stage: Stage) -> torch.Tensor:
    """Return what the cut of the best evaluation subtracts; a stage without an evaluation has that of its settings."""
    cut = best_metrics.get(f"{context.name}.validation.cut", fixed_cut(stage.decides_at))
    return context.task.subtracted(cut)


@torch.no_grad()
def take_scale_out(head: nn.Linear, scale: OutputScale) -> None:
    """Let an output layer that gives the labels' own units give standardised values."""
    if scale == NO_SCALE:
        return
    head.weight.div_(scale.spread)
    head.bias.sub_(scale.mean).div_(scale.spread)


def in_label_units(outputs: torch.Tensor, scale: OutputScale) -> torch.Tensor:
    """Return standardised outputs in the labels' own units."""
    return outputs if scale == NO_SCALE else outputs * scale.spread + scale.mean


def validation_scores(
    outputs: torch.Tensor, labels: NDArray[Any], context: StageContext, stage: Stage, model: PreTrainedModel
) -> dict[str, float]:
    """Return every metric on validation rows, with the cut of the outputs that these rows choose, if there is one."""
    task, names, cut = context.task, tuple((model.config.id2label or {}).values()), 0.0
    if output_layer(model)[1].bias is not None:  # of which the cut becomes a part
        outputs, cut = decide(task, outputs, labels, context.metric, stage.decides_at)
    return task.scores(outputs, labels, names) | ({"cut": cut} if cut else {})
