"""The only error of this package, and how its sentences show values and suggest similar names."""

import difflib
import json
from collections.abc import Iterable, Sequence

SHOWN = 80  # characters of a value that a sentence quotes
LISTED = 12  # names that a sentence lists


class SpaceError(ValueError):
    """A space, or a file with a space, has mistakes.

    Attributes:
        problems: every mistake, one sentence each. A sentence begins with the place of the mistake
            (`space.target.epochs: ...` or `sweep.yaml:3:7: ...`) and says the value and how to fix it.
    """

    def __init__(self, problems: str | Sequence[str]) -> None:
        self.problems = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(self.problems))

    def __reduce__(self) -> tuple[type["SpaceError"], tuple[tuple[str, ...]]]:
        """Pickle with the problems, so that other processes receive the complete error."""
        return type(self), (self.problems,)


def refuse(problems: Sequence[str]) -> None:
    """Raise an error if there are problems.

    Raises:
        SpaceError: with all the problems.
    """
    if problems:
        raise SpaceError(problems)


def show(value: object) -> str:
    """Return a value as one writes it in YAML, cut to a readable length."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."


def unknown(name: str, known: Iterable[str], what: str) -> str:
    """Return a sentence for an unknown name, with the most similar known name."""
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    listed = ", ".join(names[:LISTED]) + (", ..." if len(names) > LISTED else "")
    hint = f"did you mean {close[0]!r}?" if close else f"there are: {listed or 'none'}"
    return f"no such {what}: {show(name)}; {hint}"
