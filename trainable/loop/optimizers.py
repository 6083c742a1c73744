"""Optimiser, parameter groups, and learning-rate schedules as functions of the step."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from transformers import PreTrainedModel

from trainable.model.encoder import head_names
from trainable.model.layers import encoder_parts, layers_of
from trainable.settings.stage import Stage

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adamw": lambda groups, lr: torch.optim.AdamW(groups, lr=lr, fused=True),
    "adam": lambda groups, lr: torch.optim.Adam(groups, lr=lr, fused=True),
    "sgd": lambda groups, lr: torch.optim.SGD(groups, lr=lr, momentum=0.9, fused=True),
    "rmsprop": lambda groups, lr: torch.optim.RMSprop(groups, lr=lr),
    "adafactor": lambda groups, lr: torch.optim.Adafactor(groups, lr=lr),
}

RECORDABLE = frozenset({"adamw", "adam"})
"""Optimisers whose step a CUDA graph can record."""


def build_optimizer(model: PreTrainedModel, stage: Stage, device: torch.device) -> torch.optim.Optimizer:
    """Return an optimiser of the parameters that train.

    On a GPU, an optimiser that a CUDA graph can record keeps its learning rates there, where the graph reads them.

    Each group has a `peak`, its highest learning rate: `learning_rate` in the head, times `layer_decay` for each
    layer further down (Howard & Ruder 2018; Clark et al. 2020), times `head_rate` outside the encoder. Weight decay
    does not apply to biases and normalisation weights, that is, to parameters with fewer than two dimensions.
    """
    distance = (
        _distance_from_head(model) if stage.layer_decay < 1 else lambda name: 0
    )  # fewer groups, as each costs a call
    head_rate = getattr(stage, "head_rate", 1.0)  # only the target has one
    in_head = head_names(model) if head_rate != 1 else set()
    groups: dict[tuple[int, bool, bool], dict[str, Any]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        decays = parameter.ndim > 1
        key = (distance(name), decays, name in in_head)
        group = groups.setdefault(
            key,
            {
                "params": [],
                "peak": stage.learning_rate * stage.layer_decay ** key[0] * (head_rate if name in in_head else 1.0),
                "weight_decay": stage.weight_decay if decays else 0.0,
            },
        )
        group["params"].append(parameter)
    optimizer = OPTIMIZERS[stage.optimizer]([groups[key] for key in sorted(groups)], lr=stage.learning_rate)
    for group in optimizer.param_groups if device.type == "cuda" and stage.optimizer in RECORDABLE else ():
        group |= {"capturable": True, "lr": torch.tensor(group["lr"], device=device)}
    return optimizer


def set_learning_rate(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Set the learning rate of every group to its peak times `factor`."""
    for group in optimizer.param_groups:
        rate = group["peak"] * factor
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


CONSTANT_AFTER_WARMUP = frozenset({"constant", "warmup_stable_decay"})
"""Schedules with a constant rate after warm-up."""


def shares_epochs(stage: Stage) -> bool:
    """Return whether the first epochs of a stage do not depend on its number of epochs."""
    return stage.schedule in CONSTANT_AFTER_WARMUP and not stage.unfreeze_fraction


def schedule_factor(step: int, steps_per_epoch: int, stage: Stage) -> float:
    """Return the learning rate at a step as a share of the peak, 0 to 1.

    Args:
        step: optimiser steps done before this one, 0 to `steps_per_epoch * stage.epochs` - 1.
        steps_per_epoch: optimiser steps per epoch.
        stage: holds the schedule. `cosine` is half a cosine to 0 (Loshchilov & Hutter 2017), `warmup_stable_decay`
            stays at the peak and decays linearly over the last `decay_fraction` (Hu et al. 2024).
    """
    total, warmup = steps_per_epoch * stage.epochs, _warmup_steps(steps_per_epoch, stage)
    if step < warmup:
        return (step + 1) / warmup
    left = (total - step) / max(1, total - warmup)  # falls from 1 after the warm-up towards 0
    match stage.schedule:
        case "linear":
            return left
        case "cosine":
            return 0.5 * (1 + math.cos(math.pi * (1 - left)))
        case "warmup_stable_decay":
            return min(1.0, (total - step) / _decay_steps(steps_per_epoch, stage))
        case "constant":
            return 1.0


def steps_independent_of_epochs(steps_per_epoch: int, stage: Stage) -> int:
    """Return how many first optimiser steps have rates that depend on neither `epochs` nor `decay_fraction`.

    For `constant`, these are all steps; for `warmup_stable_decay`, the steps before the rate falls; otherwise none, and
    none with gradual unfreezing, whose layers begin at shares of the stage.
    """
    total = steps_per_epoch * stage.epochs
    if not shares_epochs(stage):
        return 0
    if stage.schedule == "constant":
        return total
    before_decay = total - _decay_steps(steps_per_epoch, stage) + 1  # the first step of the decay is at the peak
    return max(before_decay, _warmup_steps(steps_per_epoch, stage))


def _warmup_steps(steps_per_epoch: int, stage: Stage) -> int:
    epochs = 1 if stage.schedule in CONSTANT_AFTER_WARMUP else stage.epochs
    return math.ceil(stage.warmup_fraction * (steps_per_epoch * epochs))


def _decay_steps(steps_per_epoch: int, stage: Stage) -> int:
    return max(1, math.ceil(stage.decay_fraction * (steps_per_epoch * stage.epochs)))


def _distance_from_head(model: PreTrainedModel) -> Callable[[str], int]:
    """Return a function from a parameter's name to its distance: 0 in the head, depth + 1 below all layers."""
    parts, depth = encoder_parts(model), len(layers_of(model))
    of_parameter = {id(p): depth + 1 for p in parts.weights_below(0)}
    of_parameter |= {id(p): depth - index for index, layer in enumerate(parts.layers) for p in layer.parameters()}
    parameters = dict(model.named_parameters())
    return lambda name: of_parameter.get(id(parameters[name]), 0)


def decay_factor(optimizer: torch.optim.Optimizer, parameter: torch.Tensor, factors: Iterable[float]) -> float:
    """Return the share of a weight without gradient that weight decay leaves; `factors` are the schedule's, by step."""
    group = next(g for g in optimizer.param_groups if any(p is parameter for p in g["params"]))
    decay = float(group["peak"] * group["weight_decay"])
    return math.prod(1 - decay * factor for factor in factors)
