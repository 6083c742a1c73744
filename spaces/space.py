"""A search space: dotted names, the domain of each, and the conditions under which a name counts at all."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING, Any

from spaces.dimension import Dimension, condition_problems, describe, is_met, may_be_met, name_problem
from spaces.errors import SpaceError, refuse, show, unknown
from spaces.ranges import VALUES
from spaces.scalars import Scalar, same

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

Point = dict[str, Scalar]


@dataclass(frozen=True)
class Space:
    """Names and their dimensions; a value like any other: compared, printed, pickled, written to YAML.

    Raises:
        SpaceError: naming every bad name, condition on an unknown name or impossible value, and circle.
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
        """The names, in the order given."""
        return tuple(self.dimensions)

    @cached_property
    def _order(self) -> tuple[tuple[str, Dimension], ...]:
        """Every name after the names that its condition reads."""
        graph = {name: dimension.when for name, dimension in self.dimensions.items()}
        return tuple((name, self.dimensions[name]) for name in TopologicalSorter(graph).static_order())

    def suggest(self, trial: "BaseTrial") -> Point:
        """Ask an Optuna trial for a point; names that do not count are neither asked for nor given."""
        point: Point = {}
        for name, dimension in self._order:
            if is_met(dimension.when, point):
                point[name] = dimension.domain.suggest(trial, name)
        return point

    def active(self, params: Mapping[str, Scalar]) -> tuple[str, ...]:
        """The names that count, given the values of others; a condition on an absent name does not hold."""
        known: Point = {}
        names = []
        for name, dimension in self._order:
            if is_met(dimension.when, known):
                names.append(name)
                known |= {name: params[name]} if name in params else {}
        return tuple(names)

    def check(self, params: Mapping[str, Any], *, partial: bool = False) -> list[str]:
        """What keeps `params` from being a point of this space, one sentence a mistake; empty if nothing does.

        Args:
            params: values by dotted name.
            partial: let names be absent, to be filled in by a sampler; a name whose condition reads an
                absent name is then given the benefit of the doubt.
        """
        problems = [unknown(name, self.names, "name in the space") for name in params if name not in self.dimensions]
        counts: dict[str, bool | None] = {}
        for name, dimension in self._order:
            counts[name] = may_be_met(dimension.when, params, counts)
            if name not in params:
                if counts[name] and not partial:
                    problems.append(f"{name}: is missing; give one of {dimension.domain}")
            elif params[name] not in dimension.domain:
                problems.append(f"{name}: {show(params[name])} is not one of {dimension.domain}")
            elif counts[name] is False:
                problems.append(f"{name}: counts only where {describe(dimension.when)}; leave it out here")
        return problems

    def __contains__(self, params: Mapping[str, Any]) -> bool:
        return not self.check(params)

    def corners(self) -> Iterator[tuple[str, Scalar]]:
        """Every name with each of its extreme values (every option of a choice), in the order given."""
        for name, dimension in self.dimensions.items():
            for value in dimension.domain.corners():
                yield name, value

    def complete(self, given: Mapping[str, Scalar]) -> Point:
        """A point that has the given values: their conditions met, every other name at its first corner.

        Raises:
            SpaceError: if no point has them.
        """
        refuse(self.check(given, partial=True))
        needed = self._needed_by(given)
        point: Point = {}
        for name, dimension in self._order:
            if name in given or is_met(dimension.when, point):
                point[name] = given.get(name, needed.get(name, dimension.domain.corners())[0])
        return point

    def _needed_by(self, given: Mapping[str, Scalar]) -> dict[str, tuple[Scalar, ...]]:
        """For each name that must count so that the given ones do: the values that it may have."""
        needed: dict[str, tuple[Scalar, ...]] = {}
        for name, dimension in reversed(self._order):
            if name not in given and name not in needed:
                continue
            for parent, values in dimension.when.items():
                former = needed.get(parent, values)
                needed[parent] = tuple(v for v in values if any(same(v, f) for f in former))
                if not needed[parent]:
                    raise SpaceError(f"{parent}: no value lets {name} and the other names given count at once")
        return needed

    def grid(self, limit: int = VALUES) -> list[Point]:
        """Every point of the space, each once, the last name changing fastest.

        Raises:
            SpaceError: naming every domain without finitely many values, or if there are more than `limit` points.
        """
        values = self._values(limit)
        points: list[Point] = [{}]
        for name, dimension in self._order:
            counts = [is_met(dimension.when, point) for point in points]
            if sum(len(values[name]) if met else 1 for met in counts) > limit:
                raise SpaceError(f"the grid has more than {limit} points; give larger steps or fewer options")
            points = [
                longer
                for point, met in zip(points, counts, strict=True)
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
        """The `space` block of an experiment file; `parse_space` reads it back."""
        return {
            name: dimension.domain.to_yaml()
            | ({"when": {parent: list(values) for parent, values in dimension.when.items()}} if dimension.when else {})
            for name, dimension in self.dimensions.items()
        }
