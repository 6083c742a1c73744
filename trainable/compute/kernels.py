"""Chooses how attention and dropout are computed on each kind of device."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

LEVELS = 2**16
"""A dropout rate is rounded to a multiple of 1 / LEVELS."""


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
        scores = (_contiguous(query) * scale) @ _contiguous(key).transpose(-1, -2)
        if attn_mask is not None:
            scores += _additive(attn_mask)
        return (dropout(scores.softmax(-1), dropout_p) @ _contiguous(value)).to(query.dtype)


def _contiguous(heads: torch.Tensor) -> torch.Tensor:
    """Return a tensor in float32 and contiguous, as products need it, with at most one copy."""
    return heads.to(torch.float32, memory_format=torch.contiguous_format)


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
    count = input.numel()
    bits = torch.empty(-(-count // 4), dtype=torch.int64).random_(
        -(2**63), None
    )  # None as the upper bound: all 64 bits
    draws = bits.view(torch.int16)[:count].view(input.shape)
    kept = torch.empty_like(input, memory_format=torch.contiguous_format)
    torch.ge(draws, dropped - LEVELS // 2, out=kept)
    return input * kept.mul_(LEVELS / (LEVELS - dropped))


_REPLACED: dict[Callable[..., Any], Callable[..., Any]] = {
    functional.scaled_dot_product_attention: attend,
    functional.dropout: dropout,
}
