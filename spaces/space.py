"""The search space: dotted names, the domain of each, and the conditions under which a name is active."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING, Any

from spaces.dimension import Dimension, among, condition_problems, describe, is_met, may_be_met, name_problem
from spaces.errors import SpaceError, refuse, show, unknown
from spaces.ranges import VALUES
from spaces.scalars import Scalar, same

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

Point = dict[str, Scalar]


@dataclass(frozen=True)
class Space:
    """Names and their dimensions, as an immutable value: it can be compared, pickled and written to YAML.

    Raises:
        SpaceError: naming every bad name, every condition with an unknown name or impossible value, and every cycle.
    """

    dimensions: Mapping[str, Dimension]

    def __post_init__(self) -> None:
        object.__setattr__(self, "dimensions", dict(self.dimensions))
        names = [f"{show(name)}: {problem}" for name in self.dimensions if (problem := name_problem(name))]
        whens = {name: dimension.when for name, dimension in self.dimensions.items()}
        domains = {name: dimension.domain for name, dimension in self.dimensions.items()}
        refuse(names + condition_problems(whens, domains))

    @property
    def names(self) -> tuple[str, ...]:
        """Return all names, in the given order."""
        return tuple(self.dimensions)

    @cached_property
    def _order(self) -> tuple[tuple[str, Dimension], ...]:
        """Return all dimensions, ordered so that a name comes after the names in its condition."""
        graph = {name: dimension.when for name, dimension in self.dimensions.items()}
        return tuple((name, self.dimensions[name]) for name in TopologicalSorter(graph).static_order())

    def suggest(self, trial: "BaseTrial") -> Point:
        """Ask an Optuna trial for a point. Inactive names are not sampled and not in the point."""
        point: Point = {}
        for name, dimension in self._order:
            if is_met(dimension.when, point):
                point[name] = dimension.domain.suggest(trial, name)
        return point

    def active(self, params: Mapping[str, Scalar]) -> tuple[str, ...]:
        """Return the names that are active with these values. A condition on a missing name does not hold."""
        known: Point = {}
        names = []
        for name, dimension in self._order:
            if is_met(dimension.when, known):
                names.append(name)
                known |= {name: params[name]} if name in params else {}
        return tuple(names)

    def check(self, params: Mapping[str, Any], *, partial: bool = False) -> list[str]:
        """Return why `params` is not a point of this space, one sentence for each mistake; empty if it is one.

        Args:
            params: values by dotted name.
            partial: allow missing names, which a sampler fills in later. A name whose condition depends on a missing
                name is then allowed.
        """
        problems = [unknown(name, self.names, "name in the space") for name in params if name not in self.dimensions]
        active: dict[str, bool | None] = {}
        for name, dimension in self._order:
            active[name] = may_be_met(dimension.when, params, active)
            if name not in params:
                if active[name] and not partial:
                    problems.append(f"{name}: is missing; give one of {dimension.domain}")
            elif params[name] not in dimension.domain:
                problems.append(f"{name}: {show(params[name])} is not one of {dimension.domain}")
            elif active[name] is False:
                problems.append(f"{name}: is active only if {describe(dimension.when)}; leave it out here")
        return problems

    def __contains__(self, params: Mapping[str, Any]) -> bool:
        return not self.check(params)

    def corners(self) -> Iterator[tuple[str, Scalar]]:
        """Yield every name with each of its extreme values (every option of a choice), in the given order."""
        for name, dimension in self.dimensions.items():
            for value in dimension.domain.corners():
                yield name, value

    def complete(self, given: Mapping[str, Scalar]) -> Point:
        """Return a point with the given values, in which all given names are active.

        Other names get a value that this needs, or else their first extreme value.

        Raises:
            SpaceError: if there is no such point.
        """
        refuse(self.check(given, partial=True))
        needed = self._needed_by(given)
        point: Point = {}
        for name, dimension in self._order:
            if name in given or is_met(dimension.when, point):
                point[name] = given.get(name, needed.get(name, dimension.domain.corners())[0])
        return point

    def fix(self, name: str, value: Scalar) -> "Space":
        """Return the space in which a name has this value and is no longer searched.

        Conditions no longer mention the name. Names that could not be active with this value are left out.
        """
        fixed, kept = self.dimensions[name], dict[str, Dimension]()
        for other, dimension in self._order:
            when = dict(dimension.when)
            if other == name or any(parent != name and parent not in kept for parent in when):
                continue
            if name in when:
                if not among(value, when.pop(name)):
                    continue
                # It was active only where the fixed name was.
                for parent, values in fixed.when.items():
                    when[parent] = tuple(each for each in values if among(each, when.get(parent, values)))
            if all(when.values()):
                kept[other] = Dimension(dimension.domain, when)
        return Space({other: kept[other] for other in self.names if other in kept})

    def _needed_by(self, given: Mapping[str, Scalar]) -> dict[str, tuple[Scalar, ...]]:
        """Return, for each name in the conditions of the given names, the values that make the given names active."""
        needed: dict[str, tuple[Scalar, ...]] = {}
        for name, dimension in reversed(self._order):
            if name not in given and name not in needed:
                continue
            for parent, values in dimension.when.items():
                before = needed.get(parent, values)
                needed[parent] = tuple(value for value in values if any(same(value, other) for other in before))
                if not needed[parent]:
                    raise SpaceError(
                        f"{parent}: no value makes {name} and the other given names active at the same time"
                    )
        return needed

    def grid(self, limit: int = VALUES) -> list[Point]:
        """Return every point of the space once; the last name changes fastest.

        Raises:
            SpaceError: naming every domain with infinitely many values, or if there are more than `limit` points.
        """
        values = self._values(limit)
        points: list[Point] = [{}]
        for name, dimension in self._order:
            active = [is_met(dimension.when, point) for point in points]
            if sum(len(values[name]) if met else 1 for met in active) > limit:
                raise SpaceError(f"the grid has more than {limit} points; give larger steps or fewer options")
            points = [
                longer
                for point, met in zip(points, active, strict=True)
                for longer in ([point | {name: value} for value in values[name]] if met else [point])
            ]
        return points

    def _values(self, limit: int) -> dict[str, tuple[Scalar, ...]]:
        values: dict[str, tuple[Scalar, ...]] = {}
        problems = []
        for name, dimension in self.dimensions.items():
            try:
                values[name] = dimension.domain.values(limit)
            except SpaceError as error:
                problems += [f"{name}: {problem}" for problem in error.problems]
        refuse(problems)
        return values

    def to_mapping(self) -> dict[str, Any]:
        """Return the `space` block of an experiment file; `parse_space` reads it."""
        return {
            name: dimension.domain.to_yaml()
            | ({"when": {parent: list(values) for parent, values in dimension.when.items()}} if dimension.when else {})
            for name, dimension in self.dimensions.items()
        }
