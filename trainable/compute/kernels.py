"""Chooses how attention and dropout are computed on each kind of device."""

import math
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from trainable.compute.large_batches import (
    LARGE,
    LEVELS,
    LargeAttention,
    LargeDropout,
    kept_factor,
    least_kept,
    random_draws,
)


def kernels(device: torch.device) -> AbstractContextManager[object]:
    """Return a context for a model's forward pass that sets the kernels of attention and dropout.

    Training on a CPU uses `CpuTraining`. A GPU uses memory-efficient attention, with a mask or without, so that the
    draws of dropout do not depend on whether a batch is padded. On some GPUs PyTorch would choose cuDNN, which makes a
    plan for every new shape, and that takes from 0.1 s to over 1 s.
    """
    if device.type == "cuda":
        return sdpa_kernel([SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH])
    return CpuTraining() if torch.is_grad_enabled() else nullcontext()


class CpuTraining(TorchFunctionMode):
    """A context that replaces PyTorch's attention and dropout by versions that train faster on a CPU.

    On a CPU the backward pass of fused attention takes longer than plain products. PyTorch's own plain products also
    search all scores for tokens that see no other token. Its dropout draws a random number for each element.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401  (the called function decides)
        return _REPLACED.get(func, func)(*args, **(kwargs or {}))


def attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> torch.Tensor:
    """Compute `functional.scaled_dot_product_attention` by plain float32 products, shape (B, heads, T, H / heads).

    A token that may see no other token gets some finite value, where PyTorch gives zeros; such a token is padding.
    """
    if is_causal or enable_gqa:
        with sdpa_kernel(SDPBackend.MATH):
            return functional.scaled_dot_product_attention(
                query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
            )
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    with torch.autocast("cpu", enabled=False):
        heads = _contiguous(query) * scale, _contiguous(key), _contiguous(value)
        mask, dropped = None if attn_mask is None else _additive(attn_mask), round(dropout_p * LEVELS)
        if _is_large(*heads, mask) and dropped < LEVELS:
            attended: torch.Tensor = LargeAttention.apply(*heads, mask, dropped)  # type: ignore[no-untyped-call]
            return attended.to(query.dtype)
        scores = heads[0] @ heads[1].transpose(-1, -2)
        if mask is not None:
            scores += mask
        return (dropout(scores.softmax(-1), dropout_p) @ heads[2]).to(query.dtype)


def _is_large(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None) -> bool:
    """Return whether there are many scores, in the shapes that `LargeAttention` takes."""
    shape = (*query.shape[:-1], key.shape[-2])
    if query.ndim != 4 or math.prod(shape) <= LARGE or not key.shape == value.shape == (*shape[:2], *key.shape[2:]):
        return False
    return mask is None or (mask.shape in (shape, (shape[0], 1, *shape[2:])) and not mask.requires_grad)


def _contiguous(heads: torch.Tensor) -> torch.Tensor:
    """Return a tensor in float32 and contiguous, as products need it, with at most one copy."""
    # `to` leaves a tensor of that type as it is, whatever the memory format.
    return heads.to(torch.float32, memory_format=torch.contiguous_format).contiguous()


def _additive(mask: torch.Tensor) -> torch.Tensor:
    """Return a mask as numbers to add to the scores."""
    if mask.dtype != torch.bool:
        return mask
    return torch.zeros(mask.shape).masked_fill_(~mask, torch.finfo(torch.float32).min)


def dropout(input: torch.Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> torch.Tensor:
    """Compute `functional.dropout` with fewer draws: 64 random bits serve four elements.

    The rate is rounded to a multiple of 1/65536, and the kept elements are scaled by the rounded rate.
    """
    dropped = round(p * LEVELS)
    if not training or inplace or not 0 < dropped < LEVELS:
        return functional.dropout(input, p, training, inplace)
    if input.numel() > LARGE:
        output: torch.Tensor = LargeDropout.apply(input, dropped)  # type: ignore[no-untyped-call]
        return output
    draws = random_draws(input.numel()).view(input.shape)
    kept = torch.empty_like(input, memory_format=torch.contiguous_format)
    torch.ge(draws, least_kept(dropped), out=kept)
    return input * kept.mul_(kept_factor(dropped))


_REPLACED: dict[Callable[..., Any], Callable[..., Any]] = {
    functional.scaled_dot_product_attention: attend,
    functional.dropout: dropout,
}
