"""Cheaper versions of a point: fewer epochs, then no source stage."""

from collections.abc import Iterator

from spaces import Point, Space, SpaceError

_EPOCHS, _SOURCE = ("target.epochs", "source.epochs"), "source.enabled"


def cheaper_points(space: Space, point: Point) -> Iterator[Point]:
    """Yield points of the space that take less time than this one, the most expensive first.

    Only settings that decide how long a trial trains differ: first the epochs of the target, then those of the source,
    at last the source stage itself.
    """
    with_source = [point, *({**point, _EPOCHS[1]: epochs} for epochs in _lower(space, point, _EPOCHS[1]))]
    yield from _shorter_targets(space, with_source)
    if point.get(_SOURCE) is True and False in space.dimensions[_SOURCE].domain:
        yield from _shorter_targets(space, [{**point, _SOURCE: False}], whole=True)


def _shorter_targets(space: Space, points: list[Point], whole: bool = False) -> Iterator[Point]:
    """Yield each point with fewer and fewer epochs of the target; also the points themselves if `whole`."""
    for index, point in enumerate(points):
        epochs = _lower(space, point, _EPOCHS[0])
        shorter = [{**point, _EPOCHS[0]: value} for value in epochs]
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
