"""Finds an encoder's layers, and the weights below and above them.

Nothing here depends on the names of modules. The layers are the outermost list of modules whose length equals the
configuration's `num_hidden_layers`. A module is above them if it runs only after the last layer, as a forward pass over
a few tokens shows. Everything else is below: the embeddings, and tables that every layer reads, such as the relative
positions of MPNet and DeBERTa. Of a model with a decoder, all this is about its encoder.
The freezing itself is `trainable.model.freezing.freeze`.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

from trainable.errors import ConfigError
from trainable.model.image_size import image_shape

SAMPLE_TOKENS = 4


@dataclass(frozen=True)
class EncoderParts:
    """The parts of a base model, or of the encoder of one with a decoder, by the time at which they run."""

    base: nn.Module
    layers: nn.ModuleList
    containers: tuple[str, ...]
    """Names of the modules that contain the layers, including the base model itself (an empty name)."""
    above: frozenset[str]
    """Names of the modules that run only after the last layer."""
    inputs: tuple[str, ...]
    """Names of the base model's children with weights that run before the first layer."""

    def below(self) -> list[nn.Module]:
        """Return every module that is not above the layers, not inside them and does not contain them."""
        inside = {id(module) for module in self.layers.modules()}
        outside = {*self.containers, *self.above}
        return [m for name, m in self.base.named_modules() if name not in outside and id(m) not in inside]

    def weights_below(self, count: int) -> list[nn.Parameter]:
        """Return the weights of the lowest `count` layers and of everything below the layers.

        A weight that is used both below and above them is included.
        """
        upper = [*self.layers[count:], *(self.base.get_submodule(name) for name in self.above)]
        upper_ids = {id(p) for module in upper for p in module.parameters()}
        lower = [*self.below(), *self.layers[:count]]
        lower_ids = {id(p) for module in lower for p in module.parameters()}
        return [p for p in self.base.parameters() if id(p) in lower_ids or id(p) not in upper_ids]


def encoder_of(model: PreTrainedModel) -> PreTrainedModel:
    """Return the module whose layers can be frozen: the base model, or the encoder of a model with a decoder."""
    typed: Any = model  # transformers' own types allow tensors here
    found: PreTrainedModel = typed.get_encoder() if model.config.is_encoder_decoder else typed.base_model
    return found


def layers_of(model: PreTrainedModel) -> nn.ModuleList:
    """Return the encoder's layers, lowest first.

    Raises:
        ConfigError: if they cannot be identified.
    """
    depth = depth_of_config(model.config)
    found = [module for module in _outermost_lists(encoder_of(model)) if len(module) == depth]
    if len(found) != 1:
        raise ConfigError(
            f"{name_of(model)} has {len(found)} lists of {depth} modules, so its layers cannot be identified; "
            "choose another encoder"
        )
    return found[0]


def depth_of_config(config: PretrainedConfig) -> int | None:
    """Return the number of layers, or of the stages of a convolutional network; None if a configuration has neither."""
    depth: int | None = getattr(config, "num_hidden_layers", None)
    stages = getattr(config, "depths", None)
    return depth or (len(stages) if isinstance(stages, list | tuple) else None)


def name_of(model: PreTrainedModel) -> str:
    """Return the encoder's name for a message."""
    return f"encoder: {model.name_or_path!r} ({model.config.model_type})"


def encoder_parts(model: PreTrainedModel) -> EncoderParts:
    """Find the parts of an encoder by running its base model over a few tokens.

    Raises:
        ConfigError: if its layers cannot be identified, share weights, or do not run one after the other.
    """
    base, layers = encoder_of(model), layers_of(model)
    placed = Counter(
        id(module) for layer in layers for module in layer.modules()
    )  # layers may share an activation module
    place = {id(m): index for index, layer in enumerate(layers) for m in layer.modules() if placed[id(m)] == 1}
    owners = [{id(p) for p in layer.parameters()} for layer in layers]
    calls = _calls(model)
    order = [index for index, _ in groupby(place[id(m)] for _, m in calls if id(m) in place)]
    if order != list(range(len(layers))) or len(set().union(*owners)) < sum(map(len, owners)):
        raise ConfigError(
            f"{name_of(model)} shares weights between its layers or does not run them one after the other, so none "
            "can be frozen alone; choose another encoder"
        )
    containers = tuple(n for n, m in base.named_modules() if m is not layers and any(p is layers for p in m.modules()))
    inside = [index for index, (_, module) in enumerate(calls) if id(module) in place]
    first, early = ({name for name, _ in calls[:end]} for end in (inside[0], inside[-1] + 1))
    above = {name for name, _ in calls} - early
    for name, _ in base.named_modules():  # parents come first; a child may be used without a call of its own
        above |= {name} if name.rpartition(".")[0] in above and name not in early else set()
    weighty = [name for name, child in base.named_children() if next(child.parameters(), None) is not None]
    inputs = tuple(name for name in weighty if name in first and name not in containers)
    return EncoderParts(base, layers, containers, frozenset(above), inputs)


def drops_above_layers(model: PreTrainedModel) -> bool:
    """Return whether the base model has dropout after its last layer, which the logits of one pass do not show."""
    parts = encoder_parts(model)
    modules = (module for name in parts.above for module in parts.base.get_submodule(name).modules())
    return any(isinstance(module, nn.Dropout) and module.p > 0 for module in modules)


def batch_norms(model: PreTrainedModel) -> list[nn.Module]:
    """Return the modules that normalise by the means of a batch, which would depend on its parts and workers."""
    return [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]


def _outermost_lists(module: nn.Module) -> Iterator[nn.ModuleList]:
    for child in module.children():
        if isinstance(child, nn.ModuleList):
            yield child
        else:
            yield from _outermost_lists(child)


def _calls(model: PreTrainedModel) -> list[tuple[str, nn.Module]]:
    """Return every call of a module of the base model in a forward pass over a few tokens, in order."""
    base, calls = encoder_of(model), list[tuple[str, nn.Module]]()

    def listen(name: str, module: nn.Module) -> torch.utils.hooks.RemovableHandle:
        return module.register_forward_pre_hook(lambda *_: calls.append((name, module)))

    hooks = [listen(name, module) for name, module in base.named_modules() if name]
    modes = {module: module.training for module in base.modules()}
    sample = _sample_inputs(model)
    try:
        base.eval()
        with torch.no_grad():
            base(**sample)
    except Exception as error:  # a model that takes something else may raise any exception
        raise ConfigError(
            f"{name_of(model)} cannot be run on {next(iter(sample))} alone ({type(error).__name__}: {error!s:.200}); "
            "choose another encoder"
        ) from None
    finally:
        for hook in hooks:
            hook.remove()
        for module, mode in modes.items():
            module.training = mode
    return calls


def _sample_inputs(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    """Return a few tokens, or one image."""
    if model.main_input_name == "pixel_values":
        return {"pixel_values": torch.zeros(1, *image_shape(model.config), device=model.device)}
    # The padding id is in every vocabulary, even after `cut_embeddings`.
    ids = torch.full((1, SAMPLE_TOKENS), model.config.pad_token_id or 0, device=model.device)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
