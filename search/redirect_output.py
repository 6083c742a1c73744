"""Sends all output of libraries, C++ code included, to a log file, and keeps a console on the terminal for ours."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from rich.console import Console


@contextmanager
def output_to_file(log: Path, private: bool = False) -> Iterator[Console]:
    """Redirect stdout and stderr, with their file descriptors, to the end of a file.

    Args:
        log: the file; it is created if it is missing.
        private: whether only the owner may read the file.

    Yields:
        A console on the original stderr.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    kept_out, kept_err = os.dup(1), os.dup(2)
    with _open_log(log, private) as file, _copy_of_stderr(kept_err) as terminal:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        try:
            yield Console(file=terminal)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os.dup2(kept_out, 1)
            os.dup2(kept_err, 2)
            os.close(kept_out)
            os.close(kept_err)


def _open_log(log: Path, private: bool) -> TextIO:
    mode = 0o600 if private else 0o666
    file = open(log, "a", encoding="utf-8", opener=lambda path, flags: os.open(path, flags, mode))  # noqa: SIM115
    if private:  # the file may be older than the password in the plan, and readable by others
        os.fchmod(file.fileno(), mode)
    return file


def _copy_of_stderr(descriptor: int) -> TextIO:
    """Return a stream on a copy of the descriptor, with the encoding of stderr."""
    return os.fdopen(os.dup(descriptor), "w", encoding=sys.stderr.encoding, errors=sys.stderr.errors)
