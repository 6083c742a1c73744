"""What can go wrong in a trial: before it starts (`ConfigError`) and while it runs (`TrialError`)."""

import errno
import traceback
from collections.abc import Sequence
from pathlib import Path


class ConfigError(ValueError):
    """Settings or data that cannot make a trial; found before anything is trained.

    Attributes:
        problems: every mistake found, one sentence each, beginning with where it stands
            (`target.batch_size: ...` or `reviews.csv: ...`), with the value and the way out.
    """

    def __init__(self, problems: str | Sequence[str]) -> None:
        self.problems = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(self.problems))

    def __reduce__(self) -> tuple[type["ConfigError"], tuple[tuple[str, ...]]]:
        """Pickle by the problems, so that the error crosses process borders whole."""
        return type(self), (self.problems,)


class DamagedError(ConfigError):
    """Something that was written by a trial and is no longer what it was."""


class TrialError(RuntimeError):
    """A trial that began and cannot go on, such as one whose loss is no longer a number."""


class PeerDiedError(RuntimeError):
    """Another process of the same trial has gone; the trial can go on from its last checkpoint."""


def disk_is_full(error: BaseException) -> bool:
    """Whether a write failed for want of space, or of what a quota leaves of it."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def error_text(error: Exception) -> str:
    """What ended a trial: a sentence made for readers as it is, any other exception with its kind and place.

    The traceback of the latter goes to stderr, which is the worker's log.
    """
    if isinstance(error, TrialError | ConfigError):
        return str(error)
    traceback.print_exception(error)
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({Path(place.filename).name}, line {place.lineno})"
