"""Lets an encoder take images of another size than it was trained on, by interpolating its position embeddings.

A Vision Transformer has an embedding for each patch of an image. For images of another size they are interpolated (ViT,
Dosovitskiy et al. 2021, section 3.2). Convolutional networks need nothing.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

_SETTING = "interpolate_pos_encoding"
_PLAIN_SIZE = 64
"""Height and width of a sample image for an encoder whose configuration states none."""


def image_shape(config: PretrainedConfig) -> tuple[int, int, int]:
    """Return channels, height and width of the images that a configuration describes."""
    size = getattr(config, "image_size", None) or _PLAIN_SIZE
    height, width = (size, size) if isinstance(size, int) else size
    return getattr(config, "num_channels", 3), height, width


def take_any_size(model: PreTrainedModel) -> None:
    """Let a model interpolate its position embeddings whenever images have another size than its own."""
    if _SETTING in inspect.signature(type(model.base_model).forward).parameters:
        model.base_model.register_forward_pre_hook(_interpolate, with_kwargs=True)


def _interpolate(_: nn.Module, given: Any, named: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    return given, {**named, _SETTING: True}


@torch.no_grad()
def set_image_size(model: PreTrainedModel, size: int) -> None:
    """Give a model the position embeddings of a size, so that it takes such images without interpolation.

    Args:
        model: the model; other tools can then use it with its configuration.
        size: height and width of the images, in pixels.
    """
    if not hasattr(model.config, "image_size") or image_shape(model.config)[1:] == (size, size):
        return
    modules: list[Any] = list(model.base_model.modules())
    for module in modules:
        positions = getattr(module, "position_embeddings", None)
        if hasattr(module, _SETTING) and isinstance(positions, nn.Parameter):
            patches = module.patch_embeddings(torch.zeros(1, *image_shape(model.config)[:1], size, size)).shape[1]
            special = positions.shape[1] - module.patch_embeddings.num_patches
            states = torch.zeros(1, patches + special, positions.shape[-1])
            module.position_embeddings = nn.Parameter(module.interpolate_pos_encoding(states, size, size))
            module.patch_embeddings.image_size = (size, size)
            module.patch_embeddings.num_patches = patches
    model.config.image_size = size
