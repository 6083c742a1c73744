"""Reads the `space` block of an experiment file as a `Space`, and reports every mistake of the block at once."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from spaces.dimension import Dimension, When, condition_problems, name_problem
from spaces.domain import Choice, Domain
from spaces.errors import SpaceError, refuse, show, unknown
from spaces.ranges import Float, Int, Share
from spaces.scalars import is_scalar
from spaces.space import Space

Read = TypeVar("Read")

KINDS = ("int", "float", "share", "choice")
RANGE_KEYS = ("step", "log", "when")
_KEYS_OF = {"choice": ("choice", "when"), "share": ("share", "step", "when")}
FORMS = "{int: [low, high]}, {float: [low, high]} or {choice: [...]}"


def parse_space(mapping: object, path: str = "space") -> Space:
    """Read the `space` block.

    Args:
        mapping: dotted name -> `{int: [low, high], step:, log:, when:}`, `{float: ...}` (the same),
            `{share: [low, high], step:, when:}` or `{choice: [...], when:}`. Bounds and steps may be numeric text.
        path: the prefix of every sentence of the error.

    Raises:
        SpaceError: naming every mistake of the block.
    """
    if not isinstance(mapping, Mapping):
        raise SpaceError(f"{path}: must map dotted names to domains such as {FORMS}, got {show(mapping)}")
    problems: list[str] = []
    domains: dict[str, Domain | None] = {}
    whens: dict[str, When] = {}
    for name, value in mapping.items():
        wrong_shape = list(_shape_problems(name, value))
        domains[name], wrong_domain = _result_or_problems(_domain, value) if _kind(value) else (None, [])
        when, wrong_when = _result_or_problems(_when, value)
        whens[name] = when or {}
        problems += [f"{path}.{name}: {problem}" for problem in wrong_shape + wrong_domain + wrong_when]
    refuse(problems + [f"{path}.{problem}" for problem in condition_problems(whens, domains)])
    return Space({name: Dimension(domain, whens[name]) for name, domain in domains.items() if domain is not None})


def _result_or_problems(read: Callable[[Any], Read], value: object) -> tuple[Read | None, list[str]]:
    """Return the result of `read(value)`, or None and the problems that it raises."""
    try:
        return read(value), []
    except SpaceError as error:
        return None, list(error.problems)


def _kind(value: object) -> str | None:
    """Return the kind of domain, if the value is a mapping with exactly one kind."""
    kinds = [kind for kind in KINDS if kind in value] if isinstance(value, Mapping) else []
    return kinds[0] if len(kinds) == 1 else None


def _shape_problems(name: object, value: object) -> Iterator[str]:
    """Yield problems of the name, and of a value that is no mapping with one kind of domain and its keys."""
    if problem := name_problem(name):
        yield problem
    if isinstance(value, list):
        yield f"a list is not a domain; write {{choice: {show(value)}}}"
    elif not isinstance(value, Mapping):
        yield f"must be {FORMS}, got {show(value)}; a setting that is not searched belongs under `trial`"
    else:
        yield from _key_problems(str(name), value)


def _key_problems(name: str, value: Mapping[str, Any]) -> Iterator[str]:
    kinds = [kind for kind in KINDS if kind in value]
    nested = [key for key, inner in value.items() if isinstance(inner, Mapping) and key != "when"]
    if nested and not kinds:
        dotted = " and ".join(f"`{name}.{key}:`" for key in nested)
        yield f"names are not nested in this block; write the dotted name {dotted}"
        return
    if len(kinds) > 1:
        yield f"must have exactly one of {', '.join(KINDS)}, got {' and '.join(kinds)}"
    allowed = _KEYS_OF.get("".join(kinds), (*(kinds or KINDS), *RANGE_KEYS))
    strange = [key for key in value if key not in allowed]
    for key in strange:
        yield f"{key} does not go with {kinds[0]}" if key in RANGE_KEYS else unknown(key, allowed, "key")
    if not kinds and not strange:
        yield f"must be {FORMS}, got {show(value)}"


def _domain(value: Mapping[str, Any]) -> Domain:
    kind = _kind(value)
    if kind == "choice":
        return _choice(value[kind])
    return _range(str(kind), value)


def _range(kind: str, value: Mapping[str, Any]) -> Domain:
    """Make an `Int`, a `Float` or a `Share` from its keys."""
    bounds, log = value[kind], value.get("log", False)
    problems = []
    if not isinstance(bounds, list) or len(bounds) != 2:
        problems.append(f"{kind} must be [low, high], got {show(bounds)}")
        bounds = []
    numbers: dict[str, Any] = {}
    written = dict(zip(("low", "high"), bounds, strict=False)) | ({"step": value["step"]} if "step" in value else {})
    for name, number in written.items():
        try:
            numbers[name] = _whole(number) if kind == "int" else _number(number)
        except ValueError as error:
            problems.append(f"{name} {error}, got {show(number)}")
    if not isinstance(log, bool):
        problems.append(f"log must be true or false, got {show(log)}")
    refuse(problems)
    if kind == "int":
        return Int(**numbers, log=log)
    return Share(**numbers, log=log) if kind == "share" else Float(**numbers, log=log)


def _choice(options: object) -> Choice:
    if not isinstance(options, list):
        raise SpaceError(f"choice must be a list of options, got {show(options)}")
    return Choice(tuple(options))


def _when(value: object) -> When:
    """Read the condition under `when`, from `{name: value}` or `{name: [values]}`; empty if there is none."""
    condition = value.get("when", {}) if isinstance(value, Mapping) else {}
    if not isinstance(condition, Mapping):
        raise SpaceError(f"when must map a name to its values, such as {{source.enabled: true}}, got {show(condition)}")
    when = {name: tuple(values) if isinstance(values, list) else (values,) for name, values in condition.items()}
    refuse(
        [
            f"when: {name}: a value must be text, a number, true, false or null, got {show(value)}"
            for name, values in when.items()
            for value in values
            if not is_scalar(value)
        ]
    )
    return when


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("must be a number")
    try:
        return float(value)
    except (ValueError, OverflowError):
        raise ValueError("must be a number") from None


def _whole(value: object) -> int:
    if type(value) is int:
        return value
    number = _number(value)
    if not number.is_integer():
        raise ValueError("must be a whole number (use `float:` for others)")
    return int(number)
