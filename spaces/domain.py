"""The values that one setting can take: an integer range, a float range, or one of a few options."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spaces.errors import refuse, show
from spaces.ranges import VALUES, Float, Int, check_count
from spaces.scalars import Scalar, is_scalar, same

if TYPE_CHECKING:
    from optuna.trial import BaseTrial


@dataclass(frozen=True)
class Choice:
    """One of a few unordered options: text, numbers, true, false or null.

    Raises:
        SpaceError: if there is no option, two are equal, or one is not a scalar; names every mistake.
    """

    options: tuple[Scalar, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", tuple(self.options))
        refuse(list(self._problems()))

    def _problems(self) -> Iterator[str]:
        if not self.options:
            yield "there must be at least one option, got none"
        for i, option in enumerate(self.options):
            if not is_scalar(option):
                way_out = "; a mapping belongs under `trial`" if isinstance(option, Mapping) else ""
                yield f"an option must be text, a finite number, true, false or null, got {show(option)}{way_out}"
            # Optuna compares options with ==, so true, 1 and 1.0 are the same option
            elif option in self.options[:i]:
                twin = self.options[self.options.index(option)]
                same = "occurs twice" if type(twin) is type(option) else f"is the same option as {show(twin)}"
                yield f"{show(option)} {same}; keep one"

    def __contains__(self, value: object) -> bool:
        return any(same(value, option) for option in self.options)

    def __str__(self) -> str:
        return ", ".join(show(option) for option in self.options)

    def suggest(self, trial: "BaseTrial", name: str) -> Scalar:
        """Ask an Optuna trial for a value."""
        return trial.suggest_categorical(name, self.options)

    def corners(self) -> tuple[Scalar, ...]:
        """Return every option: options have no order, so each one counts as extreme."""
        return self.options

    def values(self, limit: int = VALUES) -> tuple[Scalar, ...]:
        """Return every option, in the given order.

        Raises:
            SpaceError: if there are more than `limit`.
        """
        check_count(len(self.options), limit)
        return self.options

    def to_yaml(self) -> dict[str, Any]:
        """Return this domain as the mapping that an experiment file has for it."""
        return {"choice": list(self.options)}


Domain = Int | Float | Choice
