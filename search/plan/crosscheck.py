"""What is wrong with an experiment where its blocks meet: names, values, and what each encoder can bear.

A block that has mistakes of its own is read without them, so that one run finds all that is wrong with a file.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from search.plan.settings import SweepSettings
from spaces import Point, Space, SpaceError, parse_space
from spaces.dimension import name_problem
from spaces.scalars import same
from trainable.errors import ConfigError
from trainable.model.limits import Limits, limit_problems, resolve_encoder
from trainable.settings.config import TrialConfig, build_config
from trainable.settings.names import field_names, nested
from trainable.settings.values import Nested
from trainable.settings.wording import describe, shown, unknown


@dataclass(frozen=True)
class Blocks:
    """The blocks of an experiment, as far as they can be read."""

    settings: SweepSettings
    trial: Nested
    """As it is written."""
    space: Space
    """Of the names whose domains can be read."""
    searched: Collection[str]
    """Every name under `space`."""
    roots: tuple[Path, ...]
    """Folders in which a relative encoder is looked up."""

    @property
    def base(self) -> Nested:
        """The trial block as `build_config` takes it."""
        return {**self.trial, "metric": self.settings.metric}

    @property
    def unread(self) -> set[str]:
        """Names under `space` whose domains cannot be read."""
        return set(self.searched) - set(self.space.names)


def read_settings(block: object, problems: list[str]) -> SweepSettings:
    """The sweep block; its mistakes are added to the list, and those settings are at their defaults."""
    stand_in = {"name": "unnamed"}
    if block is None:  # its absence is told already
        return SweepSettings.model_validate(stand_in)
    if not isinstance(block, dict):
        problems.append(f"sweep: must be a mapping of settings, got {shown(block)}")
        return SweepSettings.model_validate(stand_in)
    try:
        return SweepSettings.model_validate(block)
    except ValidationError as error:
        problems += [f"sweep.{sentence}" for sentence in describe(error, SweepSettings)]
        wrong = {item["loc"][0] for item in error.errors()}
        right = {name: value for name, value in block.items() if name not in wrong}
        return SweepSettings.model_validate(stand_in | right)


def read_space(block: object, problems: list[str]) -> Space:
    """The space block; its mistakes are added to the list, and the names that have some are left out."""
    try:
        return parse_space(block)
    except SpaceError as error:
        problems += error.problems
        return _rest(block, error.problems)


def _rest(block: object, problems: Collection[str]) -> Space:
    """The space without the names that have problems, nor those whose conditions read one of these."""
    wrong = {name for name in block if _concerns(name, problems)} if isinstance(block, Mapping) else set()
    if not isinstance(block, Mapping) or not wrong:
        return Space({})
    right = {name: domain for name, domain in block.items() if name not in wrong}
    try:
        return parse_space(right)
    except SpaceError as error:
        return _rest(right, error.problems)


def _concerns(name: str, problems: Collection[str]) -> bool:
    return any(problem.startswith(f"space.{name}: ") for problem in problems)


def joint_problems(blocks: Blocks, limits_of: Callable[[str], Limits | None]) -> Iterator[str]:
    """Mistakes that show only where blocks meet, each once.

    Args:
        blocks: the blocks, as far as they can be read.
        limits_of: what an encoder can bear; None where that is not known yet.
    """
    yield from _name_problems(blocks)
    yield from dict.fromkeys(_value_problems(blocks, limits_of))
    yield from _start_problems(blocks)


def _name_problems(blocks: Blocks) -> Iterator[str]:
    known = list(field_names(TrialConfig))
    for name in blocks.searched:
        if name_problem(name) or name == "metric":
            continue
        if name not in known:
            yield f"space.{name}: {unknown(name, known)}"
        elif _stands_in(blocks.trial, name):
            yield f"space.{name}: stands under trial too; a setting is either fixed or searched"
    if "metric" in blocks.trial or "metric" in blocks.searched:
        yield "trial.metric: is set by sweep.metric; leave it out here"


def _value_problems(blocks: Blocks, limits_of: Callable[[str], Limits | None]) -> Iterator[str]:
    """What is wrong with the trial block, at every extreme of the space and with every encoder on offer."""
    known = {name for name in field_names(TrialConfig) if name != "metric"}
    points: list[Point] = []
    for given in ({}, *({name: value} for name, value in blocks.space.corners())):
        try:
            points.append(blocks.space.complete(given))
        except SpaceError as error:
            yield from (f"space.{problem}" for problem in error.problems)
    for point in points:
        for encoder in _encoders(blocks.space, point):
            params = {name: value for name, value in (point | encoder).items() if name in known}
            for problem in _point_problems(blocks, params, limits_of):
                name = problem.partition(":")[0]
                if name not in blocks.unread:  # what it should be is told with its domain
                    where = "space" if name in blocks.space.names else "trial"
                    yield f"{where}.{problem}{_why_source(blocks, problem)}"


def _why_source(blocks: Blocks, problem: str) -> str:
    """The end of the sentence on a source without data, where `trial` has no source at all."""
    settings = [name for name in blocks.searched if name.startswith("source.")]
    needed = problem == "source.dataset: is missing" and not blocks.trial.get("source")
    return f"; space has {', '.join(settings)}, which need a source" if needed else ""


def _encoders(space: Space, point: Point) -> list[Point]:
    """The encoders with which a point may meet: all on offer, unless a condition ties the point to some."""
    if "encoder" not in space.names:
        return [{}]
    options = [value for name, value in space.corners() if name == "encoder"]
    return [{"encoder": option} for option in options if {**point, "encoder": option} in space]


def _point_problems(blocks: Blocks, params: Point, limits_of: Callable[[str], Limits | None]) -> list[str]:
    """What is wrong with the settings of one point: as values, for the encoder, or as something else than they say."""
    problems: list[str] = []
    settings = nested(blocks.base, params)
    if isinstance(settings.get("encoder"), str):
        problems += _encoder_problems(settings, blocks.roots, limits_of)
    try:
        taken = build_config(blocks.base, params).to_flat()
    except ConfigError as error:
        return [*error.problems, *problems]
    return problems + [
        f"{name}: {value!r} is taken for {taken[name]!r}; write it so, as conditions and the study compare values"
        for name, value in params.items()
        if name in taken and not same(taken[name], value)
    ]


def _encoder_problems(
    settings: Mapping[str, Any], roots: tuple[Path, ...], limits_of: Callable[[str], Limits | None]
) -> list[str]:
    try:
        limits = limits_of(resolve_encoder(settings["encoder"], roots))
    except ConfigError as error:
        return list(error.problems)
    return limit_problems(settings, limits) if limits else []


def _start_problems(blocks: Blocks) -> Iterator[str]:
    settings, space = blocks.settings, blocks.space
    given = settings.start_with or []
    for index, point in enumerate(given):
        for problem in space.check({name: point[name] for name in point if name not in blocks.unread}, partial=True):
            yield f"sweep.start_with[{index}]: {problem}"
    if len(given) > settings.trials:
        yield f"sweep.trials: {settings.trials} is less than the {len(given)} points of sweep.start_with"
    if settings.sampler == "grid":
        try:
            space.grid()
        except SpaceError as error:
            yield from (f"sweep.sampler: grid: {problem}" for problem in error.problems)


def _stands_in(written: Mapping[str, Any], name: str) -> bool:
    block, _, field = name.partition(".")
    inner = written.get(block)
    return field in inner if field and isinstance(inner, Mapping) else not field and block in written
