"""What is wrong with an experiment, told before anything starts; what ends a sweep early; how mistakes are format_problems."""

from collections.abc import Sequence

from search.redaction import redact

MOST_PROBLEMS, LONGEST = 50, 1500
"""Mistakes that are format_problems, and characters of each: a file may have thousands, and a name may be a megabyte."""


class PlanError(ValueError):
    """An experiment that cannot be run as it is written.

    Attributes:
        problems: every mistake found in any block, one sentence each, beginning with its path; without passwords.
    """

    def __init__(self, problems: list[str]) -> None:
        self.problems = tuple(dict.fromkeys(map(redact, problems)))
        super().__init__("\n".join(self.problems))


class StoppedError(RuntimeError):
    """A sweep that had to end before its time, for a reason outside of it; it can be resumed."""


def format_problems(problems: Sequence[str]) -> str:
    """Mistakes as lines for a terminal, whatever names from foreign files stand in them."""
    lines = [_line(problem) for problem in problems[:MOST_PROBLEMS]]
    more = len(problems) - len(lines)
    return "\n".join([*lines, f"... and {more} more mistakes"] if more else lines)


def _line(problem: str) -> str:
    """One sentence without control characters, its middle left out where it is far too long."""
    if len(problem) > LONGEST:
        problem = f"{problem[: LONGEST * 2 // 3]} ... {problem[-LONGEST // 3 :]}"
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in problem)
