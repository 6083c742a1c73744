"""The domain of one name and the condition under which the name is active; finds mistakes in conditions."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import Any

from spaces.domain import Domain
from spaces.errors import show, unknown
from spaces.ranges import Float, Share
from spaces.scalars import Scalar, same

When = Mapping[str, tuple[Scalar, ...]]

NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)


@dataclass(frozen=True)
class Dimension:
    """The domain of one name, and the condition under which the name is active.

    `when` maps other names of the space to allowed values. The name is active if every one of these other names is
    active itself and has one of its allowed values.
    """

    domain: Domain
    when: When = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "when", {name: tuple(values) for name, values in self.when.items()})


def is_met(when: When, point: Mapping[str, Scalar]) -> bool:
    """Return whether a condition holds; `point` has the values of all active names."""
    return all(name in point and among(point[name], values) for name, values in when.items())


def may_be_met(when: When, params: Mapping[str, Any], active: Mapping[str, bool | None]) -> bool | None:
    """Return whether a condition holds if values may be missing; None if that depends on a missing value.

    Args:
        when: the condition.
        params: the known values, by name.
        active: for each name that the condition reads, this function's answer for the condition of that name.
    """
    answer: bool | None = True
    for name, values in when.items():
        if active[name] is False or (name in params and not among(params[name], values)):
            return False
        if active[name] is None or name not in params:
            answer = None
    return answer


def describe(when: When) -> str:
    """Write a condition in words: `source.enabled is true and target.optimizer is "adam" or "adamw"`."""
    return " and ".join(f"{name} is {' or '.join(show(v) for v in values)}" for name, values in when.items())


def condition_problems(whens: Mapping[str, When], domains: Mapping[str, Domain | None]) -> list[str]:
    """Return the mistakes in the conditions of a space, one sentence each.

    Args:
        whens: the condition of each name.
        domains: the domain of each name of the space; None if the domain itself is wrong and reported elsewhere.
    """
    problems = [
        f"{name}: when: {problem}"
        for name, when in whens.items()
        for parent, values in when.items()
        for problem in _parent_problems(parent, values, domains)
    ]
    try:
        TopologicalSorter(whens).prepare()
    except CycleError as error:
        cycle = error.args[1]
        problems.append(f"{cycle[0]}: when: conditions form a circle: {' -> '.join(cycle)}")
    return problems


def name_problem(name: object) -> str | None:
    """Return why this cannot be the name of a setting; None if it can."""
    if not isinstance(name, str) or not name:
        return "a name must be text, such as target.learning_rate"
    if "/" in name:
        return f"a name must not have '/' in it; write {show(name.replace('/', '.'))}"
    if not NAME.fullmatch(name):
        return "a name is made of letters, digits and underscores, joined by dots, such as target.learning_rate"
    return None


def _parent_problems(parent: str, values: tuple[Scalar, ...], domains: Mapping[str, Domain | None]) -> Iterator[str]:
    if parent not in domains:
        yield unknown(parent, domains, "name in the space")
        return
    domain = domains[parent]
    if isinstance(domain, Float):
        kind = "share" if isinstance(domain, Share) else "float"
        yield f"{parent} is a {kind}, and a condition can only read an int or a choice"
        return
    if not values:
        yield f"{parent}: there must be at least one value, got none"
    for value in values:
        if domain is not None and value not in domain:
            yield f"{parent} can never be {show(value)}; give one of {domain}"


def among(value: object, values: tuple[Scalar, ...]) -> bool:
    """Return whether a value is one of these; true and 1 are different."""
    return any(same(value, one) for one in values)
