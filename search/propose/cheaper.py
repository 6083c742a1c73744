"""Cheaper versions of a point: fewer epochs, then no source stage."""

from collections.abc import Iterator

from spaces import Point, Space, SpaceError

_TARGET_EPOCHS, _EPOCHS, _ENABLED = "target.epochs", ".epochs", ".enabled"


def cheaper_points(space: Space, point: Point) -> Iterator[Point]:
    """Yield points of the space that take less time than this one, the most expensive first.

    Only settings that decide how long a trial trains differ: first the epochs of the target, then those of each source,
    at last the source stages themselves, the last one first.
    """
    sources = [name for name in point if name.endswith(_EPOCHS) and name != _TARGET_EPOCHS]
    shorter = [{**point, name: epochs} for name in sources for epochs in _lower(space, point, name)]
    yield from _shorter_targets(space, [point, *shorter])
    switched = [name for name in point if name.endswith(_ENABLED) and False in space.dimensions[name].domain]
    for name in reversed(switched):
        if point[name] is True:
            point = {**point, name: False}
            yield from _shorter_targets(space, [point], whole=True)


def _shorter_targets(space: Space, points: list[Point], whole: bool = False) -> Iterator[Point]:
    """Yield each point with fewer and fewer epochs of the target; also the points themselves if `whole`."""
    for index, point in enumerate(points):
        epochs = _lower(space, point, _TARGET_EPOCHS)
        shorter = [{**point, _TARGET_EPOCHS: value} for value in epochs]
        for values in [*([point] if whole or index else []), *shorter]:
            active = {name: values[name] for name in space.active(values) if name in values}
            try:
                yield space.complete(active)
            except SpaceError:
                continue


def _lower(space: Space, point: Point, name: str) -> list[int]:
    """Return the values of a name below that of the point, in descending order; none if the name does not vary."""
    current = point.get(name)
    if not isinstance(current, int):
        return []
    values = space.dimensions[name].domain.values()
    return sorted((value for value in values if isinstance(value, int) and value < current), reverse=True)
