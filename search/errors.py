"""What is wrong with an experiment, told before anything starts, and what ends a sweep before its time."""

from search.redaction import redact


class PlanError(ValueError):
    """An experiment that cannot be run as it is written.

    Attributes:
        problems: every mistake found in any block, one sentence each, beginning with its path; without passwords.
    """

    def __init__(self, problems: list[str]) -> None:
        self.problems = tuple(dict.fromkeys(map(redact, problems)))
        super().__init__("\n".join(self.problems))


class HaltError(RuntimeError):
    """A sweep that had to end before its time, for a reason outside of it; it can be resumed."""
