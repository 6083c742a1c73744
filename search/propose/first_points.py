"""What a search tries before its sampler has anything to learn from."""

from collections.abc import Sequence

from search.plan.settings import SweepSettings
from search.propose.samplers import BLOCKS
from spaces import Choice, Domain, Point, Space
from trainable.settings.config import TrialConfig
from trainable.settings.stage import Source, Target
from trainable.settings.strict import Strict

_OWNERS: dict[str, type[Strict]] = {"": TrialConfig, "source": Source, "target": Target}


def first_points(settings: SweepSettings, space: Space) -> Sequence[Point]:
    """The points that run first and in order, the sampler's own coming after them.

    Those of `start_with`, where it is given. Otherwise a sampler that learns, and knows no older sweep, begins with
    the plain point; where `source.enabled` is searched, with it and without it. `random`, `qmc` and `grid` stay as
    they are: they are there for the sake of their distribution.
    """
    if settings.start_with is not None:
        return settings.start_with
    if settings.sampler not in BLOCKS or settings.start_from is not None:
        return ()
    kinds = [value for name, value in space.corners() if name == "source.enabled"]
    return [_plain_point(space, {"source.enabled": kind}) for kind in kinds] or [_plain_point(space, {})]


def _plain_point(space: Space, given: Point) -> Point:
    """Every setting at its default, or as close to it as its domain comes; learning rates in the middle of theirs.

    Defaults are what is published for encoders of BERT's size. Learning rates are not taken from there: the best one
    moves with the encoder's size more than any other setting, and who gives a range knows the encoder. What has no
    default in its domain is left to the sampler.
    """
    values = dict(given)
    for name, dimension in space.dimensions.items():
        if name not in given:
            values |= _plain_value(name, dimension.domain)
    return {name: values[name] for name in space.active(values) if name in values}


def _plain_value(name: str, domain: Domain) -> Point:
    """The setting with its plain value, or nothing."""
    if name.endswith(".learning_rate") and not isinstance(domain, Choice):
        return {name: domain.middle()}
    owner, _, field_name = name.rpartition(".")
    field = _OWNERS[owner].model_fields[field_name]
    if field.is_required():
        return {}
    default = field.get_default(call_default_factory=True)
    if isinstance(domain, Choice):
        return {name: default} if default in domain else {}
    return {name: domain.nearest(default)} if isinstance(default, int | float) else {}
