"""What can go wrong in a trial: before it starts (`ConfigError`) and while it runs (`TrialError`)."""

from collections.abc import Sequence


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


class TrialError(RuntimeError):
    """A trial that began and cannot go on, such as one whose loss is no longer a number."""
