"""Checks the blocks of an experiment against each other: names, values, and the limits of each encoder.

A block with mistakes is read without the wrong settings, so that one run finds all mistakes of a file.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from search.plan.settings import SweepSettings
from search.plan.shares import share_problems, without_shares
from search.plan.target_task import task_problems
from search.record.trial_names import TRAIN_ROWS
from spaces import Point, Space, SpaceError, parse_space
from spaces.dimension import name_problem
from spaces.scalars import same
from trainable.errors import ConfigError
from trainable.model.limits import limit_problems, limits_without_transformers, resolve_encoder
from trainable.model.pooling import resolve_pooling
from trainable.settings.config import TrialConfig, build_config
from trainable.settings.mistake_messages import describe, shown, unknown
from trainable.settings.names import field_names, nested
from trainable.settings.stage import PerClass
from trainable.settings.task_problems import task_of
from trainable.settings.task_problems import task_problems as stage_problems
from trainable.settings.values import Nested

ProblemsOf = Callable[[Nested, str, str], list[str]]
"""Returns which settings of a trial do not suit an encoder with a setting of `pooling`, such as its depth; as far as
that is known yet."""


@dataclass(frozen=True)
class Blocks:
    """The readable part of an experiment's blocks."""

    settings: SweepSettings
    trial: Nested
    """The trial block as written in the file."""
    space: Space
    """The names whose domains could be read."""
    searched_names: Collection[str]
    """Every name in the space block."""
    roots: tuple[Path, ...]
    """Folders in which a relative path of an encoder is looked up."""

    @property
    def base(self) -> Nested:
        """Return the trial block in the form that `build_config` needs."""
        return {**self.trial, "metric": self.settings.metric}

    @property
    def setting_names(self) -> list[str]:
        """Return the dotted name of every setting of a trial."""
        sources = self.trial.get("sources")
        return list(field_names(TrialConfig, sources=map(str, sources if isinstance(sources, Mapping) else ())))

    @property
    def unreadable(self) -> set[str]:
        """Return the names in the space block whose domains could not be read."""
        return set(self.searched_names) - set(self.space.names)


def read_settings(block: object, problems: list[str]) -> SweepSettings:
    """Return the settings of the sweep block; add its mistakes to the list, and use defaults for wrong settings."""
    replacement = {"name": "unnamed"}
    if block is None:  # `build_plan` has reported that it is missing
        return SweepSettings.model_validate(replacement)
    if not isinstance(block, dict):
        problems.append(f"sweep: must be a mapping of settings, got {shown(block)}")
        return SweepSettings.model_validate(replacement)
    try:
        return SweepSettings.model_validate(block)
    except ValidationError as error:
        problems += [f"sweep.{sentence}" for sentence in describe(error, SweepSettings)]
        wrong = {item["loc"][0] for item in error.errors()}
        right = {name: value for name, value in block.items() if name not in wrong}
        return SweepSettings.model_validate(replacement | right)


def read_space(block: object, problems: list[str]) -> Space:
    """Return the space without its wrong names; add their mistakes to the list."""
    try:
        return parse_space(block)
    except SpaceError as error:
        problems += error.problems
        return _readable_part(block, error.problems)


def _readable_part(block: object, problems: Collection[str]) -> Space:
    """Return the space without the names that have problems and the names whose conditions depend on them."""
    wrong = {name for name in block if _has_problem(name, problems)} if isinstance(block, Mapping) else set()
    if not isinstance(block, Mapping) or not wrong:
        return Space({})
    right = {name: domain for name, domain in block.items() if name not in wrong}
    try:
        return parse_space(right)
    except SpaceError as error:
        return _readable_part(right, error.problems)


def _has_problem(name: str, problems: Collection[str]) -> bool:
    return any(problem.startswith(f"space.{name}: ") for problem in problems)


def joint_problems(blocks: Blocks, problems_of: ProblemsOf) -> Iterator[str]:
    """Yield the mistakes that appear only when blocks are compared, each once.

    Args:
        blocks: the readable part of the blocks.
        problems_of: see `ProblemsOf`.
    """
    yield from _name_problems(blocks)
    yield from task_problems(blocks.settings, blocks.trial, blocks.space)
    yield from share_problems(blocks.space)
    yield from dict.fromkeys(_value_problems(blocks, problems_of))
    yield from _sampler_problems(blocks)
    yield from _ranking_problems(blocks)
    yield from _rows_problems(blocks)


def _name_problems(blocks: Blocks) -> Iterator[str]:
    settings = blocks.setting_names
    for name in blocks.searched_names:
        if name_problem(name) or name == "metric":
            continue
        if name not in settings:
            yield f"space.{name}: {unknown(name, settings)}"
        elif _is_set(blocks.trial, name):
            yield f"space.{name}: is also under trial; a setting is either fixed or searched"
    if "metric" in blocks.trial or "metric" in blocks.searched_names:
        yield "trial.metric: is set by sweep.metric; leave it out here"


def _value_problems(blocks: Blocks, problems_of: ProblemsOf) -> Iterator[str]:
    """Yield mistakes of trials at every extreme value of the space, with every encoder that they may have."""
    settings = {name for name in blocks.setting_names if name != "metric"}
    points: list[Point] = []
    for given in ({}, *({name: value} for name, value in blocks.space.corners())):
        try:
            points.append(blocks.space.complete(given))
        except SpaceError as error:
            yield from (f"space.{problem}" for problem in error.problems)
    for point in points:
        for encoder in _encoders(blocks.space, point):
            params = {name: value for name, value in (point | encoder).items() if name in settings}
            for problem in _point_problems(blocks, params, problems_of):
                name = problem.partition(":")[0]
                if name not in blocks.unreadable:  # else the mistake in its domain is reported already
                    where = "space" if name in blocks.space.names else "trial"
                    yield f"{where}.{problem}{_source_hint(blocks, problem)}"


def _source_hint(blocks: Blocks, problem: str) -> str:
    """Return the end of the sentence about a source without data, if the trial block has no source at all."""
    settings = [name for name in blocks.searched_names if name.startswith("source.")]
    needed = problem == "source.dataset: is missing" and not blocks.trial.get("source")
    return f"; space has {', '.join(settings)}, which need a source" if needed else ""


def _encoders(space: Space, point: Point) -> list[Point]:
    """Return the encoders that a trial with this point may have, after the conditions of the space."""
    if "encoder" not in space.names:
        return [{}]
    options = [value for name, value in space.corners() if name == "encoder"]
    return [{"encoder": option} for option in options if {**point, "encoder": option} in space]


def _point_problems(blocks: Blocks, point: Point, problems_of: ProblemsOf) -> list[str]:
    """Return mistakes of one point: invalid values, values beyond the encoder's limits, values of another type."""
    problems: list[str] = []
    params = without_shares(blocks.space, point)
    settings = nested(blocks.base, params)
    if isinstance(settings.get("encoder"), str):
        problems += _encoder_problems(settings, blocks.roots, problems_of)
    try:
        converted = build_config(blocks.base, params).to_flat()
    except ConfigError as error:
        return [*error.problems, *problems]
    return problems + [
        f"{name}: {value!r} is read as {converted[name]!r}; write it so, as conditions and the study compare values"
        for name, value in params.items()
        if name in converted and not same(converted[name], value)
    ]


def _encoder_problems(settings: Mapping[str, Any], roots: tuple[Path, ...], problems_of: ProblemsOf) -> list[str]:
    try:
        pooling = settings.get("pooling", TrialConfig.model_fields["pooling"].default)
        return problems_of(settings, resolve_encoder(settings["encoder"], roots), pooling)
    except ConfigError as error:
        return list(error.problems)


def problems_without_transformers(settings: Nested, encoder: str, pooling: str) -> list[str]:
    """Return settings beyond the limits of an encoder in a folder; also read its file on pooling, to see damage."""
    if (limits := limits_without_transformers(encoder)) is None:
        return []
    resolve_pooling(encoder, pooling)
    return limit_problems(settings, limits)


def _sampler_problems(blocks: Blocks) -> Iterator[str]:
    settings, space = blocks.settings, blocks.space
    given = settings.start_with or []
    for index, point in enumerate(given):
        for problem in space.check(
            {name: point[name] for name in point if name not in blocks.unreadable}, partial=True
        ):
            yield f"sweep.start_with[{index}]: {problem}"
    if len(given) > settings.most_trials:
        yield f"sweep.trials: {settings.most_trials} is less than the {len(given)} points of sweep.start_with"
    if settings.sampler == "grid":
        try:
            space.grid()
        except SpaceError as error:
            yield from (f"sweep.sampler: grid: {problem}" for problem in error.problems)


def _ranking_problems(blocks: Blocks) -> Iterator[str]:
    """Yield why the options of `source.dataset` cannot become fewer before the search."""
    name, setting = "source.dataset", "sweep.ranked_sources"
    if blocks.settings.ranked_sources is None:
        return
    if name not in blocks.searched_names:
        yield f"{setting}: there is nothing to rank; name several data sets in space.{name}, or leave it out"
    readers = [other for other, dimension in blocks.space.dimensions.items() if name in dimension.when]
    readers += [f"start_with[{i}]" for i, point in enumerate(blocks.settings.start_with or []) if name in point]
    for reader in readers:
        yield f"{setting}: {reader} needs a certain {name}, which the ranking may leave out; remove one of the two"


def _rows_problems(blocks: Blocks) -> Iterator[str]:
    """Yield why repeats cannot train on other rows than their search trials."""
    target = blocks.trial.get("target")
    given = isinstance(target, Mapping) and target.get("train_rows") is not None
    if blocks.settings.redraw_rows and not given and TRAIN_ROWS not in blocks.searched_names:
        yield f"sweep.redraw_rows: every trial trains on all rows; set {TRAIN_ROWS}, or leave it out"
    per_class = [rows for rows in blocks.settings.labels_rows if isinstance(rows, PerClass)]
    if per_class and isinstance(target, Mapping):
        stage = {**target, "train_rows": per_class[0].model_dump()}
        for setting, problem in stage_problems(stage, task_of(blocks.trial, target)):
            if setting == "train_rows":
                yield f"sweep.labels_curve: {problem}"


def _is_set(written: Mapping[str, Any], name: str) -> bool:
    """Return whether the trial block sets a dotted name."""
    block, _, field = name.partition(".")
    inner = written.get(block)
    return field in inner if field and isinstance(inner, Mapping) else not field and block in written
