"""Where an encoder's layers are, and which of its weights lie below and above them.

Nothing here depends on names. The layers are the outermost list of modules that is as long as the configuration says. A
module lies above them if it runs only after the last layer; a forward pass over a few tokens shows it. All else lies
below: the embeddings, and tables that every layer reads, such as the relative positions of MPNet and DeBERTa.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import nn
from transformers import PreTrainedModel

from trainable.errors import ConfigError

SAMPLE_TOKENS = 4


@dataclass(frozen=True)
class EncoderParts:
    """The parts of a base model, by when they run."""

    base: nn.Module
    layers: nn.ModuleList
    holders: tuple[str, ...]
    """Names of the modules that contain the layers, the base model itself (an empty name) among them."""
    above: frozenset[str]
    """Names of the modules that run only after the last layer."""
    inputs: tuple[str, ...]
    """Names of the base model's children with weights that run before the first layer."""

    def below(self) -> list[nn.Module]:
        """Every module that neither lies above the layers, nor belongs to them, nor contains them."""
        inside = {id(module) for module in self.layers.modules()}
        outside = {*self.holders, *self.above}
        return [m for name, m in self.base.named_modules() if name not in outside and id(m) not in inside]

    def weights_below(self, count: int) -> list[nn.Parameter]:
        """The weights of the lowest `count` layers and of all that lies below the layers.

        A weight that is also used above them is among these.
        """
        upper = [*self.layers[count:], *(self.base.get_submodule(name) for name in self.above)]
        upper_ids = {id(p) for module in upper for p in module.parameters()}
        lower = [*self.below(), *self.layers[:count]]
        lower_ids = {id(p) for module in lower for p in module.parameters()}
        return [p for p in self.base.parameters() if id(p) in lower_ids or id(p) not in upper_ids]


def layers_of(model: PreTrainedModel) -> nn.ModuleList:
    """The encoder's layers, lowest first.

    Raises:
        ConfigError: if they cannot be told apart.
    """
    depth = model.config.num_hidden_layers
    found = [module for module in _outermost_lists(model.base_model) if len(module) == depth]
    if len(found) != 1:
        raise ConfigError(
            f"{name_of(model)} has {len(found)} lists of {depth} modules, so its layers cannot be told apart; "
            "choose another encoder"
        )
    return found[0]


def name_of(model: PreTrainedModel) -> str:
    """How an error names the encoder."""
    return f"encoder: {model.name_or_path!r} ({model.config.model_type})"


def encoder_parts(model: PreTrainedModel) -> EncoderParts:
    """Find the parts of an encoder by running its base model over a few tokens.

    Raises:
        ConfigError: if its layers cannot be told apart, share weights, or do not run one after the other.
    """
    base, layers = model.base_model, layers_of(model)
    placed = Counter(id(module) for layer in layers for module in layer.modules())  # layers may share an activation
    place = {id(m): index for index, layer in enumerate(layers) for m in layer.modules() if placed[id(m)] == 1}
    owners = [{id(p) for p in layer.parameters()} for layer in layers]
    calls = _calls(model)
    order = [index for index, _ in groupby(place[id(m)] for _, m in calls if id(m) in place)]
    if order != list(range(len(layers))) or len(set().union(*owners)) < sum(map(len, owners)):
        raise ConfigError(
            f"{name_of(model)} shares weights between its layers or does not run them one after the other, so none "
            "can be frozen alone; choose another encoder"
        )
    holders = tuple(n for n, m in base.named_modules() if m is not layers and any(p is layers for p in m.modules()))
    inside = [index for index, (_, module) in enumerate(calls) if id(module) in place]
    first, early = ({name for name, _ in calls[:end]} for end in (inside[0], inside[-1] + 1))
    above = {name for name, _ in calls} - early
    for name, _ in base.named_modules():  # each after the module that holds it: a part may be used without a call
        above |= {name} if name.rpartition(".")[0] in above and name not in early else set()
    weighty = [name for name, child in base.named_children() if next(child.parameters(), None) is not None]
    inputs = tuple(name for name in weighty if name in first and name not in holders)
    return EncoderParts(base, layers, holders, frozenset(above), inputs)


def _outermost_lists(module: nn.Module) -> Iterator[nn.ModuleList]:
    for child in module.children():
        if isinstance(child, nn.ModuleList):
            yield child
        else:
            yield from _outermost_lists(child)


def _calls(model: PreTrainedModel) -> list[tuple[str, nn.Module]]:
    """Every call of a module of the base model in a forward over a few tokens, in order."""
    base, calls = model.base_model, list[tuple[str, nn.Module]]()

    def listen(name: str, module: nn.Module) -> torch.utils.hooks.RemovableHandle:
        return module.register_forward_pre_hook(lambda *_: calls.append((name, module)))

    hooks = [listen(name, module) for name, module in base.named_modules() if name]
    modes = {module: module.training for module in base.modules()}
    # The padding's id is in every vocabulary, also in one that was cut to the words of the data.
    ids = torch.full((1, SAMPLE_TOKENS), model.config.pad_token_id or 0, device=model.device)
    try:
        base.eval()
        with torch.no_grad():
            base(input_ids=ids, attention_mask=torch.ones_like(ids))
    except Exception as error:  # the code of a model that takes something else than text raises anything
        raise ConfigError(
            f"{name_of(model)} cannot be run on the ids of a text alone ({type(error).__name__}: {error!s:.200}); "
            "choose another encoder"
        ) from None
    finally:
        for hook in hooks:
            hook.remove()
        for module, mode in modes.items():
            module.training = mode
    return calls
