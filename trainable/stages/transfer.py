"""Copies the weights of the source stage into the target's model."""

from collections.abc import Mapping

import torch
from transformers import PreTrainedModel

from trainable.errors import ConfigError
from trainable.model.encoder import head_names, output_layer
from trainable.stages.stage_cache import TrainedSource
from trainable.tasks.task import Head


def transfer(source: TrainedSource, model: PreTrainedModel, head: Head, setting: str) -> bool:
    """Copy the source's weights into a model for the target; return whether the source's head was kept.

    Args:
        source: the trained source stage.
        model: a model with the target's classes, changed in place.
        head: the target's head.
        setting: the setting `target.head`.

    Raises:
        ConfigError: if the setting is `keep` and the tasks, the label names or the kinds of head differ.
    """
    label_names, given = head.names, weights_in(model, source.weights)
    same = source.head.task == head.task and set(source.head.names) == set(label_names)
    parameters, in_head = dict(model.named_parameters()), head_names(model)
    fits = all(given[name].shape == parameters[name].shape for name in in_head & given.keys())
    if setting == "keep" and same and not fits:
        raise ConfigError(
            "target.head: 'keep' needs the same kind of head in source and target; with `pooling: bi_encoder` both "
            "must be pairs of texts"
        )
    if setting == "keep" and not same:
        raise ConfigError(
            f"target.head: 'keep' needs the same labels in source and target, got {list(source.head.names)} "
            f"and {list(label_names)}"
        )
    keep = same and fits and setting not in ("new", "probe")
    weights = {name: tensor for name, tensor in given.items() if keep or name not in in_head}
    if keep and source.head.names != label_names:
        order = torch.tensor([source.head.names.index(name) for name in label_names])
        classes = len(label_names)
        output, _ = output_layer(model)
        names = {f"{output}.weight", f"{output}.bias"}
        weights |= {n: t[order] for n, t in weights.items() if n in names and len(t) == classes}
    copy_weights(model, weights)
    return keep


def weights_in(model: PreTrainedModel, weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the weights of another model of the same encoder, by the names that they have in this one.

    The body of a model has the encoder's names behind one prefix, which depends on the kind of the head. Weights that
    this model does not have, such as a pooler or another kind of head, are left out.
    """
    prefix, parameters = model.base_model_prefix, dict(model.named_parameters())
    named = {
        name if name in parameters else f"{prefix}.{name.partition('.')[2]}": tensor for name, tensor in weights.items()
    }
    return {name: tensor for name, tensor in named.items() if name in parameters}


def copy_weights(model: PreTrainedModel, weights: Mapping[str, torch.Tensor]) -> None:
    """Copy tensors into the parameters with the same names; leave the others unchanged."""
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, tensor in weights.items():
            parameters[name].copy_(tensor)
