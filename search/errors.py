"""What is wrong with an experiment, told before anything starts, and what ends a sweep before its time."""


class PlanError(ValueError):
    """An experiment that cannot be run as it is written.

    Attributes:
        problems: every mistake found in any block, one sentence each, beginning with its path.
    """

    def __init__(self, problems: list[str]) -> None:
        self.problems = tuple(dict.fromkeys(problems))
        super().__init__("\n".join(self.problems))


class HaltError(RuntimeError):
    """A sweep that had to end before its time, for a reason outside of it; it can be resumed."""
