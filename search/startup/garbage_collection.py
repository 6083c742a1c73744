"""Python's garbage collector while much is imported: it would look through a million objects again and again."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Within it, nothing is collected: for the imports of a process, which take a fifth less time then."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextmanager
def rare_garbage_collection() -> Iterator[None]:
    """For the whole of a command: collections are rare, and the one at the end of the process has nothing to look at.

    Python would look through everything once more to end, nearly two seconds.
    """
    gc.set_threshold(100_000, 50, 100)
    try:
        yield
    finally:
        gc.freeze()
