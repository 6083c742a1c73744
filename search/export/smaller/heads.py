"""Removes the attention heads of an encoder that matter least.

The importance of a head is that of Michel et al. 2019, "Are Sixteen Heads Really Better than One?"
(https://arxiv.org/abs/1905.10650): the mean size of the loss's derivative by a factor of the head's output, divided by
the norm of all heads of its layer. transformers 5 prunes no heads by itself any more.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import prune_linear_layer

from search.export.smaller.measure import ValidationRows
from trainable.compute.forward import forward
from trainable.errors import TrialError
from trainable.inputs.split import Inputs, Split, batches_of
from trainable.loop.evaluate import compute_logits
from trainable.model.layers import layers_of

_CPU = torch.device("cpu")
_TOLERANCE = 1e-4
_FIRST = 4  # linear layers of an encoder layer: query, key, value and output


@dataclass(frozen=True)
class Attention:
    """The attention of one layer: names of linear layers, each with heads * width features of the heads."""

    layer: nn.Module
    to_heads: tuple[str, ...]
    """Query, key and value, in any order."""
    output: str

    def linear(self, name: str) -> nn.Linear:
        """Return one of the linear layers."""
        found = self.layer.get_submodule(name)
        assert isinstance(found, nn.Linear)  # `attentions_of` looks for no others
        return found

    def keep(self, kept: torch.Tensor) -> None:
        """Remove heads.

        Args:
            kept: which heads stay, shape (H,).
        """
        width = self.linear(self.output).in_features // len(kept)
        index: Any = kept.repeat_interleave(width).nonzero().flatten()
        for name in self.to_heads:
            self.layer.set_submodule(name, prune_linear_layer(self.linear(name), index))
        self.layer.set_submodule(self.output, prune_linear_layer(self.linear(self.output), index, dim=1))


def remove_heads(model: PreTrainedModel, fraction: float, rows: ValidationRows) -> str:
    """Remove a fraction of all heads in place, and say so; at least one head of each layer stays.

    Raises:
        TrialError: if the heads cannot be found, or the smaller model does not give what the whole one gives with zeros
            in the place of what these heads give.
    """
    split, count = rows.sample(), int(getattr(model.config, "num_attention_heads", 0))
    with _refusing(model):
        attentions = attentions_of(model, split.inputs, count)
        kept = most_important(_importance(model, attentions, count, split, rows), fraction)
        with _factors(attentions, count, lambda layer, sequences: kept[layer].expand(sequences, -1)):
            expected = compute_logits(model, split.inputs, _CPU)
        for attention, of_layer in zip(attentions, kept, strict=True):
            attention.keep(of_layer)
        if not torch.allclose(compute_logits(model, split.inputs, _CPU), expected, atol=_TOLERANCE, rtol=_TOLERANCE):
            raise ValueError("its answers without these heads are not those with zeros in their place")
    return (
        f"Pruned: {int((~kept).sum())} of {kept.numel()} attention heads were removed, those with the least importance "
        f"(Michel et al. 2019) on {len(split.labels)} validation rows."
    )


def attentions_of(model: PreTrainedModel, inputs: Inputs, heads: int) -> list[Attention]:
    """Return the attention of each encoder layer: the first linear layers that run in it.

    Raises:
        ValueError: if they do not have the shapes of query, key, value and output.
    """
    called: list[tuple[int, str]] = []
    with ExitStack() as hooks:
        for number, layer in enumerate(layers_of(model)):
            for name, module in layer.named_modules():
                if isinstance(module, nn.Linear):
                    call = partial(lambda place, *_: called.append(place), (number, name))
                    hooks.callback(module.register_forward_pre_hook(call).remove)
        with torch.inference_mode():
            forward(model, inputs.batch(np.arange(1)), _CPU, "fp32")
    found = []
    for number, layer in enumerate(layers_of(model)):
        *to_heads, output = [name for place, name in called if place == number][:_FIRST] or [""]
        attention = Attention(layer, tuple(to_heads), output)
        widths = {attention.linear(name).out_features for name in to_heads}
        if len(to_heads) != _FIRST - 1 or widths != {attention.linear(output).in_features}:
            raise ValueError("its layers do not begin with query, key and value of one width and their output")
        if not heads or next(iter(widths)) % heads:
            raise ValueError("its configuration does not say how many heads there are")
        found.append(attention)
    return found


def most_important(importance: torch.Tensor, fraction: float) -> torch.Tensor:
    """Return which heads stay, shape (L, H): all but the given fraction, and the best of each layer.

    Args:
        importance: of the heads of L layers, shape (L, H).
        fraction: of all heads.
    """
    order = importance.scatter(1, importance.argmax(1, keepdim=True), torch.inf).flatten().argsort()
    removable = importance.numel() - len(importance)
    kept = torch.ones(importance.numel(), dtype=torch.bool)
    kept[order[: min(round(fraction * importance.numel()), removable)]] = False
    return kept.view_as(importance)


def _importance(
    model: PreTrainedModel, attentions: Sequence[Attention], heads: int, split: Split, rows: ValidationRows
) -> torch.Tensor:
    """Return the importance of the heads, shape (L, H)."""
    names = tuple((model.config.id2label or {}).values())
    loss = rows.task.loss(split.labels, rows.task.head(names), rows.stage, _CPU)
    total = torch.zeros(len(attentions), heads)
    for batch in batches_of(split.inputs, _CPU):
        ones: list[torch.Tensor] = []

        def factor(layer: int, sequences: int, ones: list[torch.Tensor] = ones) -> torch.Tensor:
            ones.append(torch.ones(sequences, heads, requires_grad=True))
            return ones[-1]

        labels = split.labels[batch]
        with _factors(attentions, heads, factor):
            logits = forward(model, split.inputs.batch(batch), _CPU, "fp32")
        # Labels that are no numbers are only for the scores, as in training.
        of_rows = loss.sum(logits, torch.zeros(len(batch)) if labels.dtype == object else torch.from_numpy(labels))
        total += torch.stack([slope.abs().sum(0) for slope in torch.autograd.grad(of_rows, ones)])
    importance: torch.Tensor = total / total.norm(dim=1, keepdim=True).clamp(min=torch.finfo().tiny)
    return importance


@contextmanager
def _factors(attentions: Sequence[Attention], heads: int, factor: Callable[[int, int], torch.Tensor]) -> Iterator[None]:
    """Multiply what each head gives by a factor.

    Args:
        attentions: of the layers.
        heads: of each layer.
        factor: gives the factors of a layer's heads for a number of sequences, shape (B, H).
    """

    def multiplied(layer: int, _: nn.Module, inputs: tuple[torch.Tensor]) -> torch.Tensor:
        (states,) = inputs  # (B, T, H * width)
        of_heads: torch.Tensor = states.unflatten(-1, (heads, -1)) * factor(layer, len(states))[:, None, :, None]
        return of_heads.flatten(-2)

    with ExitStack() as hooks:
        for number, attention in enumerate(attentions):
            output = attention.layer.get_submodule(attention.output)
            hooks.callback(output.register_forward_pre_hook(partial(multiplied, number)).remove)
        yield


@contextmanager
def _refusing(model: PreTrainedModel) -> Iterator[None]:
    """Say that the heads of a model cannot be removed, whatever its code raises."""
    try:
        yield
    except Exception as error:  # such as tensors of shapes that do not fit, where a model stores the number of heads
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        what = f"--prune heads: the heads of this {model.config.model_type} model cannot be removed"
        raise TrialError(f"{what}: {reason:.300}; nothing was exported") from None
