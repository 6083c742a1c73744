"""The errors of a trial: before it starts (`ConfigError`) and while it runs (`TrialError`)."""

import errno
import traceback
from collections.abc import Sequence
from pathlib import Path


class ConfigError(ValueError):
    """Settings or data are wrong, which is found before anything is trained.

    Attributes:
        problems: every mistake found, one sentence each. It begins with the place (`target.batch_size: ...` or
            `reviews.csv: ...`) and says the value and the solution.
    """

    def __init__(self, problems: str | Sequence[str]) -> None:
        self.problems = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(self.problems))

    def __reduce__(self) -> tuple[type["ConfigError"], tuple[tuple[str, ...]]]:
        """Pickle by the problems, so that another process receives them all."""
        return type(self), (self.problems,)


class DamagedError(ConfigError):
    """A file that a trial wrote was changed or damaged."""


class TrialError(RuntimeError):
    """A trial that has started cannot continue, for example because its loss is not finite."""


class PeerDiedError(RuntimeError):
    """Another process of the same trial has ended; the trial can continue from its last checkpoint."""


def disk_is_full(error: BaseException) -> bool:
    """Return whether a write failed because the disk is full or a quota is used up."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def error_text(error: Exception) -> str:
    """Return the message for the exception that ended a trial: our own errors unchanged, others with type and place.

    The traceback of other exceptions is printed to stderr, which is the worker's log.
    """
    if isinstance(error, TrialError | ConfigError):
        return str(error)
    traceback.print_exception(error)
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({Path(place.filename).name}, line {place.lineno})"
