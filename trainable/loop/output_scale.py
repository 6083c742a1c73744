"""Moves the scale of a model's outputs into its output layer and out of it; see `OutputScale`."""

from typing import Any

import torch
from numpy.typing import NDArray
from torch import nn
from transformers import PreTrainedModel

from trainable.errors import TrialError
from trainable.model.encoder import output_layer
from trainable.progress import StageContext
from trainable.tasks.task import NO_SCALE, OutputScale


def checked_scale(scale: OutputScale, model: PreTrainedModel) -> OutputScale:
    """Return the scale of a model's outputs.

    Raises:
        TrialError: if the model's output layer has no bias, which the mean of the labels needs.
    """
    if scale != NO_SCALE and "bias" not in dict(output_layer(model)[1].named_parameters()):
        raise TrialError("the head of this encoder has no bias, which a regression needs; set `pooling: mean`")
    return scale


@torch.no_grad()
def put_scale_in(head: nn.Linear, scale: OutputScale, cut: float = 0.0) -> None:
    """Let an output layer that gives standardised values give the labels' own units, minus the task's `cut`."""
    if scale == NO_SCALE and not cut:
        return
    head.weight.mul_(scale.spread)
    head.bias.mul_(scale.spread).add_(scale.mean - cut)


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
    outputs: torch.Tensor, labels: NDArray[Any], context: StageContext, model: PreTrainedModel
) -> dict[str, float]:
    """Return every metric on validation rows, with the cut of the outputs that these rows choose, if there is one."""
    names, bias = tuple((model.config.id2label or {}).values()), output_layer(model)[1].bias
    cut = 0.0 if bias is None else context.task.cut(outputs, labels, context.metric)  # it becomes a part of the bias
    return context.task.scores(outputs - cut if cut else outputs, labels, names) | ({"cut": cut} if cut else {})
