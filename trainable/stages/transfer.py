"""Copies the weights of the source stage into the target's model."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

import torch
from transformers import PreTrainedModel

from trainable.errors import ConfigError
from trainable.model.encoder import head_names, output_layer
from trainable.stages.stage_cache import TrainedSource
from trainable.stages.trained_on import Moved
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


def moved_into(model: PreTrainedModel, source: TrainedSource | None, head_kept: bool, drawn: AbstractSet[str]) -> Moved:
    """Return what a model for the target has from the source stages, and what is new.

    Args:
        model: the target's model, after `transfer`.
        source: the last source stage; None if there is none.
        head_kept: what `transfer` has returned.
        drawn: names of the parameters that were drawn from the seed before.
    """
    given = source.weights if source else {}
    prefix, parameters, in_head = model.base_model_prefix, dict(model.named_parameters()), head_names(model)
    takes = parameters.keys() if head_kept else parameters.keys() - in_head
    places = {name: _name_in(parameters, prefix, name) for name in given}
    moved = {name: place for name, place in places.items() if place in takes}
    return Moved(
        sum(parameters[place].numel() for place in moved.values()),
        _modules(drawn - set(moved.values())),
        head_kept,
        _modules(given.keys() - moved.keys()),
    )


def _modules(names: AbstractSet[str]) -> tuple[str, ...]:
    """Return the names of the modules that have parameters of these names."""
    return tuple(sorted({name.rpartition(".")[0] or name for name in names}))


def _name_in(parameters: Mapping[str, torch.Tensor], prefix: str, name: str) -> str:
    """Return the name that a parameter of another model of the same encoder has, or would have, in a model."""
    return name if name in parameters else f"{prefix}.{name.partition('.')[2]}"


def weights_in(model: PreTrainedModel, weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the weights of another model of the same encoder, by the names that they have in this one.

    The body of a model has the encoder's names behind one prefix, which depends on the kind of the head. Weights that
    this model does not have, such as a pooler or another kind of head, are left out.
    """
    prefix, parameters = model.base_model_prefix, dict(model.named_parameters())
    named = {_name_in(parameters, prefix, name): tensor for name, tensor in weights.items()}
    return {name: tensor for name, tensor in named.items() if name in parameters}


def copy_weights(model: PreTrainedModel, weights: Mapping[str, torch.Tensor]) -> None:
    """Copy tensors into the parameters with the same names; leave the others unchanged."""
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, tensor in weights.items():
            parameters[name].copy_(tensor)
