"""Recovers from lack of memory: the work is cut into smaller parts and repeated, with the same result."""

import gc
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from trainable.errors import TrialError

Result = TypeVar("Result")

# Messages of allocators that have no exception class of their own.
_MESSAGES = ("can't allocate memory", "CUDA error: out of memory", "STATUS_ALLOC_FAILED")


def out_of_memory(error: BaseException) -> bool:
    """Return whether an exception means that memory had no room."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(message in str(error) for message in _MESSAGES)


def peak_bytes() -> int:
    """Return the largest memory that this process has taken so far, in bytes; 0 if the system does not tell it.

    The figure of `getrusage` would include the process that started this one.
    """
    with suppress(OSError):  # only Linux has this file
        for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    return 0


def none_if_out_of_memory(work: Callable[[], Result]) -> Result | None:
    """Return the result of `work`; if memory had no room, release all that `work` held and return None."""
    try:
        return work()
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
    # The traceback holds the tensors, and it is gone only here, outside `except`.
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return None


def more_parts(parts: int, rows: int, batch_size: int, stage: str) -> int:
    """Return the number of parts to cut batches into after a batch of `rows` rows in `parts` parts did not fit.

    Raises:
        TrialError: if every part already has only one row.
    """
    if parts >= rows:
        raise TrialError(
            f"out of memory: not even one row of {stage} can be trained at a time; lower {stage}.padding_length (for "
            f"images {stage}.image_size), raise {stage}.frozen_layers, take a smaller encoder, or give a trial more "
            "memory (fewer at a time: sweep.max_concurrent, sweep.gpus_per_trial)"
        )
    return min(2 * parts, batch_size)


def split_to_fit(
    batches: Iterable[NDArray[np.int64]], lengths: NDArray[np.int64], compute: Callable[[NDArray[np.int64]], Result]
) -> Iterator[tuple[NDArray[np.int64], Result | None]]:
    """Yield the rows of each batch with the result of `compute`; the result is None if not even one row fits.

    A batch that does not fit is halved, and so are later batches with as many tokens.

    Args:
        batches: row numbers of each batch.
        lengths: tokens of every row, shape (N,).
        compute: takes row numbers; if it fails, it must keep nothing in memory.
    """
    waiting, room = deque(batches), np.inf  # most tokens of a batch that may fit
    while waiting:
        rows = waiting.popleft()
        tokens = len(rows) * int(lengths[rows].max())
        result = none_if_out_of_memory(partial(compute, rows)) if tokens <= room or len(rows) == 1 else None
        if result is None and len(rows) > 1:
            waiting.extendleft(reversed(np.array_split(rows, 2)))
            room = min(room, tokens - 1)
            continue
        yield rows, result
