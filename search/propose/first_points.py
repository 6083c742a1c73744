"""The first points of a search, which run before the sampler has trials to learn from."""

from collections.abc import Sequence
from itertools import product

from search.plan.settings import SweepSettings
from search.propose.samplers import BLOCK_TRIALS
from spaces import Choice, Domain, Point, Space
from trainable.settings.config import TrialConfig
from trainable.settings.stage import Source, Target
from trainable.settings.strict import Strict

EACH_FIRST = ("enabled", "objective")
"""Choices of a stage that change a trial more than any other, so that each of their values is tried first."""
_OWNERS: dict[str, type[Strict]] = {"": TrialConfig, "target": Target}


def first_points(settings: SweepSettings, space: Space) -> Sequence[Point]:
    """Return the points that run first, in order; the sampler proposes the points after them.

    These are the points of `start_with`, if it is given. Otherwise a sampler that learns, without an older sweep,
    begins with the default point, once with each value of the names in `EACH_FIRST` that are searched. `random`, `qmc`
    and `grid` get no first points, which would change the distribution of their points.
    """
    if settings.start_with is not None:
        return settings.start_with
    if settings.sampler not in BLOCK_TRIALS or settings.start_from is not None:
        return ()
    names = [name for field in EACH_FIRST for name in space.names if name.rpartition(".")[2] == field]
    options = [[value for searched, value in space.corners() if searched == name] for name in names]
    points = [default_point(space, dict(zip(names, values, strict=True))) for values in product(*options)]
    return [point for index, point in enumerate(points) if point not in points[:index]]  # a condition makes some equal


def default_point(space: Space, given: Point) -> Point:
    """Return the point with every setting at the value of its domain nearest to the default, and the given values.

    Learning rates are in the middle of their ranges. The defaults are published values for encoders of BERT's size,
    and the best learning rate depends on the encoder's size more than any other setting: the range, written for this
    encoder, says more than the default. The sampler chooses settings that have no default in their domain.
    """
    values = dict(given)
    for name, dimension in space.dimensions.items():
        if name not in given:
            values |= _default_value(name, dimension.domain)
    return {name: values[name] for name in space.active(values) if name in values}


def _default_value(name: str, domain: Domain) -> Point:
    """Return a setting with its value in the default point; empty if its domain has no default."""
    if name.endswith(".learning_rate") and not isinstance(domain, Choice):
        return {name: domain.middle()}
    owner, _, field_name = name.rpartition(".")
    field = _OWNERS.get(owner, Source).model_fields[field_name]
    if field.is_required():
        return {}
    default = field.get_default(call_default_factory=True)
    if isinstance(domain, Choice):
        return {name: default} if default in domain else {}
    return {name: domain.nearest(default)} if isinstance(default, int | float) else {}
