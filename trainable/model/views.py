"""Views of a model that share its weights but skip work: layers computed before, and tokens that the head ignores."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from transformers import PreTrainedModel

from trainable.model.layers import encoder_parts, layers_of


def layers_between(model: PreTrainedModel, start: int, stop: int | None = None) -> PreTrainedModel:
    """Return a view of the model that has only the layers from `start` to `stop` - 1; weights are shared.

    If `start` is above 0, the view takes the output of the layers below as `inputs_embeds`.
    """
    layers = layers_of(model)
    base = model.base_model
    below = {name: _PassOn(base.get_submodule(name)) for name in encoder_parts(model).inputs} if start else {}
    return _with(model, layers, layers[start:stop], below)


def first_token_alone(model: PreTrainedModel) -> PreTrainedModel:
    """Return a view of the model whose top layer computes only the first token's output; weights are shared.

    If the head reads only the first token, the top layer needs the other tokens only for keys and values. With n
    trained layers this saves 5/6 of 1/n of their products. The logits are the same; dropout draws fewer numbers. The
    model itself is returned if the head reads other tokens, or the type of layer is not known here.
    """
    layers, config = layers_of(model), model.config
    kind = _KINDS.get(type(layers[-1]).__name__)
    sees_all = config._attn_implementation == "sdpa" and not getattr(config, "is_decoder", False)
    if kind is None or not sees_all or type(model).__name__ not in _FIRST_TOKEN_HEADS:
        return model
    return _with(model, layers, nn.ModuleList([*layers[:-1], kind(layers[-1])]), {})


def flops_per_token(model: PreTrainedModel, trains: bool) -> float:
    """Return the FLOPs of the products of one token with the layers' weights, without products between tokens.

    The forward pass takes two per weight. If the model `trains`, each weight of a layer with trained weights takes two
    more for the gradient of its input, and each trained weight two for its own gradient. Weights that only a text's
    first token uses are not counted.
    """
    costs: dict[torch.Tensor, float] = {}
    for layer in (layer for stack in model.modules() if isinstance(stack, nn.ModuleList) for layer in stack):
        back = trains and any(parameter.requires_grad for parameter in layer.parameters())
        for weight in (module.weight for module in layer.modules() if isinstance(module, nn.Linear)):
            cost = 2.0 + 2.0 * back + 2.0 * (back and weight.requires_grad)
            costs[weight] = max(cost, costs.get(weight, 0.0))
    for top in (module for module in model.modules() if isinstance(module, _FirstToken)):
        every = {module.weight for module in top.keys_and_values()}
        for module in top.modules():
            if isinstance(module, nn.Linear) and module.weight not in every:
                costs.pop(module.weight, None)
    return sum(weight.numel() * cost for weight, cost in costs.items())


def _with(
    model: PreTrainedModel, layers: nn.ModuleList, others: nn.ModuleList, below: Mapping[str, nn.Module]
) -> PreTrainedModel:
    """Return a view of the model with the layers `others`, and with the children `below` of its base model replaced."""

    def view(module: nn.Module) -> nn.Module:
        """Copy a module; its children are shared, except those that contain the layers."""
        if module is layers:
            return others
        copied = copy.copy(module)
        copied._modules = dict(module._modules)
        for name, child in module.named_children():
            if any(part is layers for part in child.modules()):
                copied._modules[name] = view(child)
            elif module is model.base_model and name in below:
                copied._modules[name] = below[name]
        return copied

    viewed: PreTrainedModel = view(model)  # type: ignore[assignment]  # a copy, of the same class
    return viewed


class _PassOn(nn.Module):
    """Replaces the embeddings: passes on the output of the layers below.

    Args:
        replaced: the embeddings; a Vision Transformer reads the type of their weights.
    """

    def __init__(self, replaced: nn.Module) -> None:
        super().__init__()
        if (patches := getattr(replaced, "patch_embeddings", None)) is not None:
            self.__dict__["patch_embeddings"] = patches  # it must be no submodule

    def forward(
        self, *given: torch.Tensor | None, inputs_embeds: torch.Tensor | None = None, **_: object
    ) -> torch.Tensor:
        """Return the first argument that is not None; some encoders name it, some do not, and token ids are None."""
        return next(states for states in (inputs_embeds, *given) if states is not None)


class _FirstToken(nn.Module, ABC):
    """A layer that computes its output only for the first token, which attends to all tokens."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer: Any = layer

    def forward(
        self, states: torch.Tensor, attention_mask: torch.Tensor | None = None, *others: object, **more: object
    ) -> torch.Tensor:
        """Compute the state of the first token, shape (B, 1, H), from the states of all tokens, shape (B, T, H).

        Args:
            states: output of the layer below.
            attention_mask: shape (B, 1, T, T), true where a token (third axis) sees another (fourth axis); None if
                all tokens see each other.
            others: further arguments that `transformers` passes to every layer; not needed here.
            more: further named arguments; not needed either.
        """
        mask = None if attention_mask is None else attention_mask[:, :, :1]
        return self.top(states[:, :1], states, mask)

    @abstractmethod
    def top(self, first: torch.Tensor, states: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """Run the layer's modules in their usual order: keys and values for all tokens, the rest for the first."""

    @abstractmethod
    def keys_and_values(self) -> tuple[nn.Linear, nn.Linear]:
        """Return the two modules that are computed for every token."""


class _Bert(_FirstToken):
    """BERT's layer, which several other models use unchanged."""

    def top(self, first: torch.Tensor, states: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        layer, attention = self.layer, self.layer.attention
        inner = attention.self
        seen = _attend(inner, inner.query(first), inner.key(states), inner.value(states), mask)
        attended = attention.output(seen, first)
        output: torch.Tensor = layer.output(layer.intermediate(attended), attended)
        return output

    def keys_and_values(self) -> tuple[nn.Linear, nn.Linear]:
        return self.layer.attention.self.key, self.layer.attention.self.value


class _DistilBert(_FirstToken):
    """A view of the same layer with DistilBERT's names."""

    def top(self, first: torch.Tensor, states: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        layer, attention = self.layer, self.layer.attention
        seen = _attend(attention, attention.q_lin(first), attention.k_lin(states), attention.v_lin(states), mask)
        attended = layer.sa_layer_norm(attention.out_lin(seen) + first)
        output: torch.Tensor = layer.output_layer_norm(layer.ffn(attended) + attended)
        return output

    def keys_and_values(self) -> tuple[nn.Linear, nn.Linear]:
        return self.layer.attention.k_lin, self.layer.attention.v_lin


def _attend(
    attention: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None
) -> torch.Tensor:
    """Return the attention output of the first token, shape (B, 1, H)."""
    query, key, value = (
        states.unflatten(-1, (-1, attention.attention_head_size)).transpose(1, 2) for states in (query, key, value)
    )
    rate = attention.dropout.p if attention.training else 0.0
    seen = functional.scaled_dot_product_attention(query, key, value, mask, rate, scale=attention.scaling)
    return seen.transpose(1, 2).flatten(-2)


_KINDS: dict[str, type[_FirstToken]] = {
    **dict.fromkeys(("BertLayer", "RobertaLayer", "XLMRobertaLayer", "CamembertLayer", "ElectraLayer"), _Bert),
    "TransformerBlock": _DistilBert,
}
_FIRST_TOKEN_HEADS = {
    f"{name}ForSequenceClassification"
    for name in ("Bert", "Roberta", "XLMRoberta", "Camembert", "Electra", "DistilBert")
}
