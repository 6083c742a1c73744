"""Removes the top layers of an encoder; its configuration then says how many there are.

Of several ways to choose layers, removing the top ones lost least in Sajjad et al. 2020, "Poor Man's BERT: Smaller and
Faster Transformer Models" (https://arxiv.org/abs/2004.03844).
"""

from transformers import PreTrainedModel

from trainable.errors import ConfigError
from trainable.model.layers import layers_of, name_of


def remove_top_layers(model: PreTrainedModel, count: int) -> str:
    """Remove the top layers of a model's encoder in place, and say so.

    Raises:
        ConfigError: if it has no more layers than that, or its configuration has stages in the place of layers.
    """
    layers, config = layers_of(model), model.config
    option, depth = f"--prune layers={count}", len(layers)
    if getattr(config, "num_hidden_layers", None) is None:
        raise ConfigError(f"{option}: {name_of(model)} has stages of different widths, and needs all of them")
    if count >= depth:
        raise ConfigError(f"{option}: {name_of(model)} has {depth} layers; remove 1 to {depth - 1} of them")
    del layers[depth - count :]
    config.num_hidden_layers = len(layers)
    if isinstance(kinds := getattr(config, "layer_types", None), list):
        config.layer_types = kinds[: len(layers)]
    return f"Pruned: the top {count} of {depth} encoder layers were removed."
