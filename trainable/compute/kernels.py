"""How attention and dropout are computed, by device."""

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
    """The kernels that attention and dropout may take, as a context of a model's forward.

    When training on a CPU, those of `CpuTraining`. On a GPU, the memory-efficient attention, with a mask or without,
    so that the draws of dropout do not hang on whether a batch is padded; cuDNN's, PyTorch's first choice on some,
    makes a plan for every shape it meets, which takes from 0.1 s to over 1 s.
    """
    if device.type == "cuda":
        return sdpa_kernel([SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH])
    return CpuTraining() if torch.is_grad_enabled() else nullcontext()


class CpuTraining(TorchFunctionMode):
    """Inside it, PyTorch's attention and dropout are replaced by what trains faster on a CPU.

    The fused attention takes longer there than plain products, on the way back, and PyTorch's own plain products also
    look for tokens that see nothing, in passes over all scores. Its dropout draws a number for each element.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401  (of whatever is called)
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
    """`functional.scaled_dot_product_attention` as plain products in float32; of shape (B, heads, T, H / heads).

    A token that the mask lets see nothing gets some finite value, where PyTorch's gets zeros; it is padding.
    """
    if is_causal or enable_gqa:
        with sdpa_kernel(SDPBackend.MATH):
            return functional.scaled_dot_product_attention(
                query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
            )
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    with torch.autocast("cpu", enabled=False):
        scores = (_whole(query) * scale) @ _whole(key).transpose(-1, -2)
        if attn_mask is not None:
            scores += _added(attn_mask)
        return (dropout(scores.softmax(-1), dropout_p) @ _whole(value)).to(query.dtype)


def _whole(heads: torch.Tensor) -> torch.Tensor:
    """In float32 and contiguous, as products take them, in one copy."""
    return heads.to(torch.float32, memory_format=torch.contiguous_format)


def _added(mask: torch.Tensor) -> torch.Tensor:
    """A mask as what is added to scores."""
    if mask.dtype != torch.bool:
        return mask
    return torch.zeros(mask.shape).masked_fill_(~mask, torch.finfo(torch.float32).min)


def dropout(input: torch.Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> torch.Tensor:
    """`functional.dropout` from fewer draws: 64 random bits are enough for four elements.

    The rate is rounded to a multiple of 1/65536, and what is kept is scaled by the rate as rounded.
    """
    dropped = round(p * LEVELS)
    if not training or inplace or not 0 < dropped < LEVELS:
        return functional.dropout(input, p, training, inplace)
    count = input.numel()
    bits = torch.empty(-(-count // 4), dtype=torch.int64).random_(-(2**63), None)  # none: all 64 bits
    draws = bits.view(torch.int16)[:count].view(input.shape)
    kept = torch.empty_like(input, memory_format=torch.contiguous_format)
    torch.ge(draws, dropped - LEVELS // 2, out=kept)
    return input * kept.mul_(LEVELS / (LEVELS - dropped))


_REPLACED: dict[Callable[..., Any], Callable[..., Any]] = {
    functional.scaled_dot_product_attention: attend,
    functional.dropout: dropout,
}
