"""Views of a model that share its weights and skip layers already computed and tokens that the head ignores."""

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
    """The same model, weights shared, with the layers from `start` to below `stop` only.

    From a `start` above 0 it takes the output of the layers below as `inputs_embeds`.
    """
    layers = layers_of(model)
    below = {name: _PassOn() for name in encoder_parts(model).inputs} if start else {}
    return _with(model, layers, layers[start:stop], below)


def first_token_alone(model: PreTrainedModel) -> PreTrainedModel:
    """The same model, weights shared, whose top layer computes the first token's output and no other.

    A head that reads no other token makes the rest of that layer, all but its keys and values, work for nothing:
    with n layers trained, 5/6 of an nth of their products. The logits are the same; dropout draws fewer numbers. Where
    the head reads other tokens, or the layer is of a kind unknown here, the model itself.
    """
    layers, config = layers_of(model), model.config
    kind = _KINDS.get(type(layers[-1]).__name__)
    sees_all = config._attn_implementation == "sdpa" and not getattr(config, "is_decoder", False)
    if kind is None or not sees_all or type(model).__name__ not in _FIRST_TOKEN_HEADS:
        return model
    return _with(model, layers, nn.ModuleList([*layers[:-1], kind(layers[-1])]), {})


def flops_per_token(model: PreTrainedModel, trains: bool) -> float:
    """FLOPs of the products of one token with the weights of the layers; those between tokens are left out.

    Two for each weight on the way up. Where the model `trains`, four more for each weight that does: two for its own
    gradient and two for that of what lies below. Weights that only the first token of a text meets count for nothing.
    """
    stacks = [module for module in model.modules() if isinstance(module, nn.ModuleList)]
    linear = {m.weight for stack in stacks for m in stack.modules() if isinstance(m, nn.Linear)}
    for top in (module for module in model.modules() if isinstance(module, _FirstToken)):
        every = {module.weight for module in top.keys_and_values()}
        linear -= {m.weight for m in top.modules() if isinstance(m, nn.Linear)} - every
    return sum(weight.numel() * (6.0 if trains and weight.requires_grad else 2.0) for weight in linear)


def _with(
    model: PreTrainedModel, layers: nn.ModuleList, others: nn.ModuleList, below: Mapping[str, nn.Module]
) -> PreTrainedModel:
    """A view of the model with other layers in the place of its own, and other children of its base below them."""

    def view(module: nn.Module) -> nn.Module:
        """A copy of the module whose children are shared, but for those on the way to the layers."""
        if module is layers:
            return others
        twin = copy.copy(module)
        twin._modules = dict(module._modules)
        for name, child in module.named_children():
            if any(part is layers for part in child.modules()):
                twin._modules[name] = view(child)
            elif module is model.base_model and name in below:
                twin._modules[name] = below[name]
        return twin

    part: PreTrainedModel = view(model)  # type: ignore[assignment]  # a copy, of the same class
    return part


class _PassOn(nn.Module):
    """Stands where the embeddings were: hands on what the layers below have made."""

    def forward(
        self, *given: torch.Tensor | None, inputs_embeds: torch.Tensor | None = None, **_: object
    ) -> torch.Tensor:
        """Some encoders name their arguments, some do not; the ids of the tokens are none in any case."""
        return next(states for states in (inputs_embeds, *given) if states is not None)


class _FirstToken(nn.Module, ABC):
    """A layer that computes its output for the first token alone, which attends to all."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer: Any = layer

    def forward(
        self, states: torch.Tensor, attention_mask: torch.Tensor | None = None, *others: object, **more: object
    ) -> torch.Tensor:
        """From states of all tokens, shape (B, T, H), to that of the first, shape (B, 1, H).

        Args:
            states: what the layer below has made.
            attention_mask: of shape (B, 1, T, T), true where a token (third axis) sees another; none where all do.
            others: what `transformers` hands to every layer and BERT's kind does not need.
            more: the same.
        """
        mask = None if attention_mask is None else attention_mask[:, :, :1]
        return self.top(states[:, :1], states, mask)

    @abstractmethod
    def top(self, first: torch.Tensor, states: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """The layer's own pieces in their own order, the first token in place of all but in keys and values."""

    @abstractmethod
    def keys_and_values(self) -> tuple[nn.Linear, nn.Linear]:
        """The two products that are computed for every token."""


class _Bert(_FirstToken):
    """BERT's layer, which others have taken over as it is."""

    def top(self, first: torch.Tensor, states: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        layer, attention = self.layer, self.layer.attention
        inner = attention.self
        seen = _attend(inner, inner.query(first), inner.key(states), inner.value(states), mask)
        attended = attention.output(seen, first)
        made: torch.Tensor = layer.output(layer.intermediate(attended), attended)
        return made

    def keys_and_values(self) -> tuple[nn.Linear, nn.Linear]:
        return self.layer.attention.self.key, self.layer.attention.self.value


class _DistilBert(_FirstToken):
    """The same layer under other names."""

    def top(self, first: torch.Tensor, states: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        layer, attention = self.layer, self.layer.attention
        seen = _attend(attention, attention.q_lin(first), attention.k_lin(states), attention.v_lin(states), mask)
        attended = layer.sa_layer_norm(attention.out_lin(seen) + first)
        made: torch.Tensor = layer.output_layer_norm(layer.ffn(attended) + attended)
        return made

    def keys_and_values(self) -> tuple[nn.Linear, nn.Linear]:
        return self.layer.attention.k_lin, self.layer.attention.v_lin


def _attend(
    attention: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None
) -> torch.Tensor:
    """What the first token takes from all others, shape (B, 1, H)."""
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
