"""Recovers from lack of memory: the work is cut into smaller parts and done again, with the same result."""

import gc
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from trainable.errors import TrialError

Made = TypeVar("Made")

# How allocators say it that raise no exception of their own.
_SIGNS = ("can't allocate memory", "CUDA error: out of memory", "STATUS_ALLOC_FAILED")


def out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that there was no memory to be had."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SIGNS)


def none_if_out_of_memory(work: Callable[[], Made]) -> Made | None:
    """What `work` returns, or None where memory had no room for it; then all that it held is released."""
    try:
        return work()
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
    # Only here, outside `except`, is the traceback gone, whose frames held the tensors.
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return None


def more_parts(parts: int, rows: int, batch_size: int, stage: str) -> int:
    """Into how many parts to cut batches after one of `rows` rows, cut into `parts`, did not fit.

    Raises:
        TrialError: if every part has but one row already.
    """
    if parts >= rows:
        raise TrialError(
            f"out of memory: not even one row of {stage} can be trained at a time; lower {stage}.padding_length, "
            f"raise {stage}.frozen_layers, take a smaller encoder, or give a trial more memory (fewer at a time: "
            "sweep.max_concurrent, sweep.gpus_per_trial)"
        )
    return min(2 * parts, batch_size)


def split_to_fit(
    batches: Iterable[NDArray[np.int64]], lengths: NDArray[np.int64], compute: Callable[[NDArray[np.int64]], Made]
) -> Iterator[tuple[NDArray[np.int64], Made | None]]:
    """What `compute` makes of each batch, with the batch's rows; none where not even a single row fits.

    A batch that does not fit is halved, and so are those after it that have as many tokens.

    Args:
        batches: row numbers.
        lengths: tokens of every row, shape (N,).
        compute: takes row numbers; must not keep what it made on failure.
    """
    waiting, room = deque(batches), np.inf  # tokens of a batch that may fit
    while waiting:
        rows = waiting.popleft()
        tokens = len(rows) * int(lengths[rows].max())
        made = none_if_out_of_memory(partial(compute, rows)) if tokens <= room or len(rows) == 1 else None
        if made is None and len(rows) > 1:
            waiting.extendleft(reversed(np.array_split(rows, 2)))
            room = min(room, tokens - 1)
            continue
        yield rows, made
