"""Which weights of a model train: freezes the lowest layers, keeps them without dropout, and counts what is left."""

from functools import lru_cache

from torch import nn
from transformers import PreTrainedModel

from trainable.errors import ConfigError
from trainable.model.encoder import model_and_parts
from trainable.model.layers import EncoderParts, batch_norms, encoder_parts, layers_of
from trainable.model.limits import name_or_path


def freeze(model: PreTrainedModel, count: int) -> list[nn.Module]:
    """Freeze the lowest `count` layers and, if `count` is above 0, everything below the layers.

    Below the layers are the embeddings, and tables that all layers share. Modules above the layers, such as a pooler,
    still train. Batch normalisation, as in ResNet, keeps its means and variances in any case; its weights train.

    Returns:
        The frozen modules; they must stay in evaluation mode (see `train_mode`).

    Raises:
        ConfigError: if the encoder has fewer layers, or its layers cannot be identified.
    """
    _check_count(model, count)
    if not count:
        return batch_norms(model)
    parts = encoder_parts(model)
    for parameter in parts.weights_below(count):
        parameter.requires_grad_(False)
    for container, key, _ in own_rates(parts):  # these stay in training mode
        setattr(parts.base.get_submodule(container), key, 0.0)
    return [*parts.below(), *parts.layers[:count], *batch_norms(model)]


def own_rates(parts: EncoderParts) -> list[tuple[str, str, float]]:
    """Return the dropout rates of the modules that contain the layers: module, attribute and rate."""
    return [
        (name, key, value)
        for name in parts.containers
        for key, value in vars(parts.base.get_submodule(name)).items()
        if "drop" in key and isinstance(value, float)
    ]


@lru_cache
def trained_weights(encoder: str, frozen_layers: int, pooling: str = "first") -> int:
    """Return how many weights train when `frozen_layers` layers are frozen; no weights are read.

    Raises:
        ConfigError: if the encoder has fewer layers.
    """
    model, parts = model_and_parts(name_or_path(encoder), pooling)
    _check_count(model, frozen_layers)
    frozen = parts.weights_below(frozen_layers) if frozen_layers else []
    return sum(p.numel() for p in model.parameters()) - sum(p.numel() for p in frozen)


def train_mode(model: PreTrainedModel, frozen: list[nn.Module]) -> None:
    """Switch training mode, and with it dropout, on, except in the frozen modules."""
    model.train()
    for module in frozen:
        module.eval()


def _check_count(model: PreTrainedModel, count: int) -> None:
    depth = len(layers_of(model))
    if not 0 <= count <= depth:
        raise ConfigError(f"frozen_layers: must be 0 to {depth} for {model.config.model_type}, got {count}")
