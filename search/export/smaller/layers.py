"""Removes the encoder layers that change their input least; the configuration then says how many are left.

The influence of a layer is that of Men et al. 2024, "ShortGPT: Layers in Large Language Models are More Redundant Than
You Expect" (https://arxiv.org/abs/2403.03853): 1 minus the mean cosine similarity between what goes into the layer and
what comes out. Removing the top layers is worse where nothing is trained afterwards, as the head reads the top one.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from search.export.smaller.measure import ValidationRows
from trainable.errors import ConfigError, TrialError
from trainable.inputs.split import Inputs
from trainable.loop.evaluate import compute_logits
from trainable.model.layers import layers_of, name_of


def remove_layers(model: PreTrainedModel, count: int, rows: ValidationRows) -> str:
    """Remove layers of a model's encoder in place, and say so.

    Raises:
        ConfigError: if it has no more layers than that, or its configuration has stages in the place of layers.
        TrialError: if its layers do not give what the next one takes.
    """
    layers, config = layers_of(model), model.config
    option, depth = f"--prune layers={count}", len(layers)
    if getattr(config, "num_hidden_layers", None) is None:
        raise ConfigError(f"{option}: {name_of(model)} has stages of different widths, and needs all of them")
    if count >= depth:
        raise ConfigError(f"{option}: {name_of(model)} has {depth} layers; remove 1 to {depth - 1} of them")
    sample = rows.sample()
    removed = sorted(influence(model, sample.inputs).argsort()[:count].tolist())
    kept = [number for number in range(depth) if number not in removed]
    for number in reversed(removed):
        del layers[number]
    config.num_hidden_layers = len(kept)
    if isinstance(kinds := getattr(config, "layer_types", None), list):
        config.layer_types = [kinds[number] for number in kept]
    names = ", ".join(str(number + 1) for number in removed)
    return (
        f"Pruned: {count} of {depth} encoder layers were removed, those with the least influence (Men et al. 2024) on "
        f"{len(sample.labels)} validation rows; from below: {names}."
    )


def influence(model: PreTrainedModel, inputs: Inputs) -> torch.Tensor:
    """Return the influence of each encoder layer, shape (L,).

    Raises:
        TrialError: if its layers do not give what the next one takes.
    """
    layers = layers_of(model)
    found = torch.zeros(len(layers), 2, dtype=torch.float64)  # sum and number of similarities

    def compare(number: int, _: nn.Module, taken: Sequence[Any], named: dict[str, Any], given: Any) -> None:
        before = taken[0] if taken else named["hidden_states"]
        after = given[0] if isinstance(given, tuple) else given
        if before.shape != after.shape:
            kind = model.config.model_type
            raise TrialError(
                f"--prune layers: the layers of this {kind} model have different widths; nothing was exported"
            )
        similar = torch.cosine_similarity(before, after, dim=-1)
        found[number] += torch.tensor([float(similar.sum()), similar.numel()])

    with ExitStack() as hooks:
        for number, layer in enumerate(layers):
            hook = layer.register_forward_hook(partial(compare, number), with_kwargs=True)
            hooks.callback(hook.remove)
        compute_logits(model, inputs, torch.device("cpu"))
    return 1 - found[:, 0] / found[:, 1]
