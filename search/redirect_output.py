"""Sends what libraries print, from any language, to a log file, and keeps a way to the terminal for us."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from rich.console import Console


@contextmanager
def output_to_file(log: Path, private: bool = False) -> Iterator[Console]:
    """Redirect stdout and stderr, file descriptors and all, to the end of a file.

    Args:
        log: the file, made where it is missing.
        private: whether nobody but its owner may read it.

    Yields:
        A console on the stderr there was.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    kept_out, kept_err = os.dup(1), os.dup(2)
    with _appended(log, private) as file, _like_stderr(kept_err) as terminal:
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


def _appended(log: Path, private: bool) -> TextIO:
    mode = 0o600 if private else 0o666
    file = open(log, "a", encoding="utf-8", opener=lambda path, flags: os.open(path, flags, mode))  # noqa: SIM115
    if private:  # or it was made when no password was in the plan
        os.fchmod(file.fileno(), mode)
    return file


def _like_stderr(descriptor: int) -> TextIO:
    """A copy of the descriptor as a stream that encodes as stderr does."""
    return os.fdopen(os.dup(descriptor), "w", encoding=sys.stderr.encoding, errors=sys.stderr.errors)
