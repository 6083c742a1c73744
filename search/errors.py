"""The errors that end a command with a message, and how a list of mistakes is printed."""

from collections.abc import Sequence

from search.redaction import redact

MOST_PROBLEMS, MOST_CHARACTERS = 50, 1500
"""Mistakes to print, and characters of each: a file may have thousands, and a name in it may have a megabyte."""


class PlanError(ValueError):
    """An experiment that cannot run as it is written; raised before anything starts.

    Attributes:
        problems: every mistake found in any block, one sentence each, beginning with its path; without passwords.
    """

    def __init__(self, problems: list[str]) -> None:
        self.problems = tuple(dict.fromkeys(map(redact, problems)))
        super().__init__("\n".join(self.problems))


class StoppedError(RuntimeError):
    """A sweep that had to stop early for an outside reason, such as a full disk; it can be resumed."""


def format_problems(problems: Sequence[str]) -> str:
    """Return mistakes as lines that are safe to print, even if they quote names from untrusted files."""
    lines = [_line(problem) for problem in problems[:MOST_PROBLEMS]]
    more = len(problems) - len(lines)
    return "\n".join([*lines, f"... and {more} more mistakes"] if more else lines)


def _line(problem: str) -> str:
    """Return one sentence without control characters; the middle of a very long one is left out."""
    if len(problem) > MOST_CHARACTERS:
        problem = f"{problem[: MOST_CHARACTERS * 2 // 3]} ... {problem[-MOST_CHARACTERS // 3 :]}"
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in problem)
