"""Moves the scale of a model's outputs into its output layer and out of it; see `OutputScale`."""

import torch
from torch import nn

from trainable.tasks.task import NO_SCALE, OutputScale


@torch.no_grad()
def put_scale_in(head: nn.Linear, scale: OutputScale) -> None:
    """Let an output layer that gives standardised values give the labels' own units."""
    if scale == NO_SCALE:
        return
    head.weight.mul_(scale.spread)
    head.bias.mul_(scale.spread).add_(scale.mean)


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
