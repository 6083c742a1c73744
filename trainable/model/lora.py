"""LoRA (Hu et al. 2021): two thin matrices beside a linear layer train in its place, and are added to it at the end.

The library `peft` computes. It takes seconds to import, so only a stage with `tuning: lora` imports it.
"""

import math
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from trainable.model.encoder import model_and_parts
from trainable.model.freezing import trained_weights
from trainable.model.layers import encoder_parts, layers_of, name_of
from trainable.model.limits import name_or_path
from trainable.seeds import seed_of
from trainable.settings.names import stage_blocks
from trainable.settings.stage import ALL_LINEAR, ATTENTION, LORA_RANK, Stage
from trainable.settings.values import Nested

if TYPE_CHECKING:
    from peft import LoraModel

Linear = nn.Linear | Conv1D


class Adapters:
    """The thin matrices that a stage trains beside some linear layers of a model.

    Args:
        model: the model on its device, its lowest layers frozen. Afterwards the adapters, the head and other modules
            above the layers train, and nothing else.
        stage: rank, alpha, targets and frozen layers.
        seed: seed of the trial, from which the first matrices are drawn; the second ones begin as zeros.
    """

    def __init__(self, model: PreTrainedModel, stage: Stage, seed: int) -> None:
        layers = layers_of(model)
        for parameter in encoder_parts(model).weights_below(len(layers)):
            parameter.requires_grad_(False)
        above = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self._targets = tuple(target_layers(model, stage.lora_targets or ATTENTION, stage.frozen_layers))
        self._tuner = _add(model, self._targets, stage) if self._targets else None
        for parameter in above:  # peft has switched it off
            parameter.requires_grad_(True)
        for name, parameter in model.named_parameters():
            if ".lora_A." in name:
                _draw(parameter, seed_of("lora", seed, name))

    def merge(self) -> set[str]:
        """Add the adapters to the weights of their layers, and remove them; return the names of these weights."""
        if self._tuner is not None:
            self._tuner.merge_and_unload()
        return {f"{target}.weight" for target in self._targets}


def target_layers(model: PreTrainedModel, targets: str, frozen_layers: int = 0) -> dict[str, Linear]:
    """Return the linear layers that get adapters, by their names in the model.

    Args:
        model: the model, without adapters.
        targets: the setting `lora_targets`.
        frozen_layers: number of lowest layers that get none.
    """
    layers = layers_of(model)
    prefix = next(name for name, module in model.named_modules() if module is layers)
    linear = {
        f"{prefix}.{index}.{name}": module
        for index, layer in enumerate(layers)
        for name, module in layer.named_modules()
        if isinstance(module, Linear)
    }
    chosen = dict(_matching(linear, _names(model, targets))) or (linear if targets == ATTENTION else {})
    kept = tuple(f"{prefix}.{index}." for index in range(frozen_layers, len(layers)))
    return {name: module for name, module in chosen.items() if name.startswith(kept)}


@lru_cache
def merged_weights(encoder: str, frozen_layers: int, targets: str, pooling: str) -> int:
    """Return how many weights of a model a stage with LoRA changes, head and merged matrices; no weights are read.

    Raises:
        ConfigError: if the encoder has fewer layers than are frozen.
    """
    model, _ = model_and_parts(name_or_path(encoder), pooling)
    found = target_layers(model, targets, frozen_layers)
    above = trained_weights(encoder, len(layers_of(model)), pooling)
    return above + sum(module.weight.numel() for module in found.values())


def lora_problems(settings: Nested, encoder: str, pooling: str) -> list[str]:
    """Return the settings of LoRA that do not suit an encoder, one sentence each; no weights are read.

    Args:
        settings: the settings of a trial; each may be of a wrong type.
        encoder: its encoder.
        pooling: `first`, `mean`, `max` or `bi_encoder`.

    Raises:
        ConfigError: if there is no such encoder, or its layers cannot be identified.
    """
    problems = []
    for name, stage in stage_blocks(settings):
        if stage.get("tuning") != "lora":
            continue
        model, _ = model_and_parts(name_or_path(encoder), pooling)
        rank, targets = stage.get("lora_rank") or LORA_RANK, stage.get("lora_targets") or ATTENTION
        found = target_layers(model, targets) if isinstance(targets, str) else {}
        if not found:
            known = ", ".join(dict.fromkeys(key.rpartition(".")[2] for key in target_layers(model, ALL_LINEAR)))
            problems.append(
                f"{name}.lora_targets: {targets!r} names no linear layer of {name_of(model)}; it has {known}"
            )
        sides = {key: min(module.weight.shape) for key, module in found.items()}
        thinnest = min(sides, key=lambda key: sides[key], default="")
        if sides and isinstance(rank, int) and rank > sides[thinnest]:
            problems.append(f"{name}.lora_rank: {rank} is more than the smaller side, {sides[thinnest]}, of {thinnest}")
    return problems


def _names(model: PreTrainedModel, targets: str) -> list[str]:
    """Return the last parts of the names of the linear layers that `lora_targets` means; `*` is every layer."""
    if targets != ATTENTION:
        return ["*"] if targets == ALL_LINEAR else [name.strip() for name in targets.split(",")]
    from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as KNOWN

    known = KNOWN.get(model.config.model_type)
    return known if isinstance(known, list) else []


def _matching(linear: Mapping[str, Linear], names: list[str]) -> Iterator[tuple[str, Linear]]:
    for full, module in linear.items():
        if any(name == "*" or f".{full}".endswith(f".{name}") for name in names):
            yield full, module


def _add(model: PreTrainedModel, targets: tuple[str, ...], stage: Stage) -> "LoraModel":
    from peft import LoraConfig, LoraModel

    rank = stage.lora_rank or LORA_RANK
    config = LoraConfig(
        r=rank,
        lora_alpha=stage.lora_alpha or 2 * rank,  # type: ignore[arg-type]  # used as a number, may be no integer
        target_modules=list(targets),
        fan_in_fan_out=any(isinstance(model.get_submodule(target), Conv1D) for target in targets),
    )
    return LoraModel(model, config, "default")


@torch.no_grad()
def _draw(matrix: nn.Parameter, seed: int) -> None:
    """Draw a first matrix, shape (rank, inputs), from the distribution that peft uses, on every device the same."""
    drawn = torch.empty(matrix.shape)
    nn.init.kaiming_uniform_(drawn, a=math.sqrt(5), generator=torch.Generator().manual_seed(seed))
    matrix.copy_(drawn)
