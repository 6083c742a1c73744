"""Attention and dropout of large batches on a CPU: they keep less for the backward pass, with bit-equal results.

Autograd would keep a float32 factor for each element that dropout may drop, and the probabilities of attention twice.
Here one byte tells whether an element was kept, and the probabilities are kept once. Small batches do not use this
module, because more passes over the data cost time, and there is little memory to save.
"""

from typing import Any

import torch
from torch.autograd import Function
from torch.autograd.function import once_differentiable

LARGE = 2**20
"""A tensor with more elements counts as large. A large tensor of scores is computed in parts of this size."""
LEVELS = 2**16
"""A dropout rate is rounded to a multiple of 1 / LEVELS."""


def random_draws(count: int) -> torch.Tensor:
    """Return `count` random int16 numbers; 64 random bits serve four of them."""
    bits = torch.empty(-(-count // 4), dtype=torch.int64)
    return bits.random_(-(2**63), None).view(torch.int16)[:count]  # None as the upper bound: all 64 bits


def least_kept(dropped: int) -> int:
    """Return the least draw that keeps an element, if `dropped` of `LEVELS` draws drop it."""
    return dropped - LEVELS // 2


def kept_factor(dropped: int) -> float:
    """Return the factor of the elements that are kept."""
    return LEVELS / (LEVELS - dropped)


def _factors(kept: torch.Tensor, factor: float, like: torch.Tensor) -> torch.Tensor:
    """Return `factor` for the elements that are kept and 0 for the others; shape and type are those of `like`."""
    factors = torch.empty_like(like, memory_format=torch.contiguous_format)
    return factors.copy_(kept.view(torch.uint8)).mul_(factor)  # a copy of bytes is faster than one of booleans


class LargeDropout(Function):
    """Dropout, with one byte kept for each element."""

    @staticmethod
    def forward(ctx: Any, input: torch.Tensor, dropped: int) -> torch.Tensor:
        """Drop elements of `input`; `dropped` of `LEVELS` draws drop an element."""
        kept = torch.ge(random_draws(input.numel()).view(input.shape), least_kept(dropped))
        ctx.save_for_backward(kept)
        ctx.factor = kept_factor(dropped)
        return _factors(kept, ctx.factor, input).mul_(input)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        """Return the gradient of `input`."""
        (kept,) = ctx.saved_tensors
        return _factors(kept, ctx.factor, gradient).mul_(gradient), None


class LargeAttention(Function):
    """Attention, with one float32 and one byte kept for each score."""

    @staticmethod
    def forward(
        ctx: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        mask: torch.Tensor | None,
        dropped: int,
    ) -> torch.Tensor:
        """Compute attention, shape (B, heads, T, H / heads).

        Args:
            ctx: keeps what `backward` needs.
            query: float32, scaled, shape (B, heads, T, H / heads).
            key: float32, shape (B, heads, S, H / heads).
            value: like `key`.
            mask: is added to the scores, shape (B, 1, T, S), without gradient; or None.
            dropped: of `LEVELS` draws, so many drop a score.
        """
        rows, heads, tokens, others = *query.shape[:3], key.shape[2]
        probabilities = query.new_empty(rows * heads, tokens, others)
        draws = random_draws(probabilities.numel()).view_as(probabilities) if dropped else None
        kept = torch.empty_like(probabilities, dtype=torch.bool) if dropped else None
        output = torch.empty_like(query, memory_format=torch.contiguous_format)
        query_, key_, value_, output_ = (tensor.flatten(0, 1) for tensor in (query, key, value, output))
        for first, last in _parts(probabilities, heads):
            part = slice(first * heads, last * heads)
            scores = query_[part] @ key_[part].transpose(1, 2)
            if mask is not None:
                scores.view(-1, heads, tokens, others).add_(mask[first:last])
            weights = torch.softmax(scores, -1, out=probabilities[part])
            if draws is not None and kept is not None:
                torch.ge(draws[part], least_kept(dropped), out=kept[part])
                weights = _factors(kept[part], kept_factor(dropped), weights).mul_(weights)
            torch.bmm(weights, value_[part], out=output_[part])
        ctx.save_for_backward(query, key, value, probabilities, kept)
        ctx.factor = kept_factor(dropped)
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Return the gradients of query, key and value."""
        query, key, value, probabilities, kept = ctx.saved_tensors
        heads = query.shape[1]
        gradients = [torch.empty_like(t, memory_format=torch.contiguous_format) for t in (query, key, value)]
        query, key, value, gradient = (tensor.flatten(0, 1) for tensor in (query, key, value, gradient))
        of_query, of_key, of_value = (tensor.flatten(0, 1) for tensor in gradients)
        for first, last in _parts(probabilities, heads):
            part = slice(first * heads, last * heads)
            weights = probabilities[part]
            of_weights = gradient[part] @ value[part].transpose(1, 2)
            if kept is not None:
                factors = _factors(kept[part], ctx.factor, weights)
                of_weights.mul_(factors)
                weights = factors.mul_(weights)
            torch.bmm(weights.transpose(1, 2), gradient[part], out=of_value[part])
            of_scores = torch.ops.aten._softmax_backward_data(of_weights, probabilities[part], -1, torch.float32)
            torch.bmm(of_scores, key[part], out=of_query[part])
            # Autograd's order of this product: the other one rounds differently on some CPUs.
            of_key[part] = (query[part].transpose(1, 2) @ of_scores).transpose(1, 2)
        return *gradients, None, None


def _parts(scores: torch.Tensor, heads: int) -> list[tuple[int, int]]:
    """Return the first and the last row, exclusive, of each part of scores, shape (B * heads, T, S)."""
    rows = len(scores) // heads
    step = max(1, LARGE // (scores.numel() // rows))
    return [(first, min(rows, first + step)) for first in range(0, rows, step)]
