"""The one error of this package, and how values and near misses are shown in its sentences."""

import difflib
import json
from collections.abc import Iterable, Sequence

SHOWN = 80  # characters of a value that a sentence quotes
LISTED = 12  # names that a sentence lists


class SpaceError(ValueError):
    """A space, or a file that holds one, that cannot be used.

    Attributes:
        problems: every mistake found, one sentence each, beginning with where it stands
            (`space.target.epochs: ...` or `sweep.yaml:3:7: ...`), with the value and the way out.
    """

    def __init__(self, problems: str | Sequence[str]) -> None:
        self.problems = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(self.problems))

    def __reduce__(self) -> tuple[type["SpaceError"], tuple[tuple[str, ...]]]:
        """Pickle by the problems, so that the error crosses process borders whole."""
        return type(self), (self.problems,)


def refuse(problems: Sequence[str]) -> None:
    """Do nothing when there are no problems.

    Raises:
        SpaceError: carrying them all, when there are some.
    """
    if problems:
        raise SpaceError(problems)


def show(value: object) -> str:
    """A value as it would stand in the YAML file, cut to a readable length."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."


def unknown(name: str, known: Iterable[str], what: str) -> str:
    """A sentence for a name that is none of the known ones, with the likely intended one."""
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    listed = ", ".join(names[:LISTED]) + (", ..." if len(names) > LISTED else "")
    hint = f"did you mean {close[0]!r}?" if close else f"there are: {listed or 'none'}"
    return f"no such {what}: {show(name)}; {hint}"
