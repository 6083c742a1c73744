"""Joins the three blocks of an experiment file and checks them against each other and the encoders.

The one place where `spaces` meets `trainable`. All mistakes are found before anything starts, and told at once.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from search.errors import PlanError
from search.place import Place, data_roots, load_facts
from search.settings import CHANGEABLE, SweepSettings
from spaces import Space, SpaceError, load_yaml, parse_space, parse_yaml, shipped
from spaces.scalars import same
from trainable.config import TrialConfig, build_config, describe, field_names, unknown
from trainable.errors import ConfigError
from trainable.limits import limit_problems
from trainable.workspace import Workspace

BLOCKS = ("sweep", "trial", "space")
T = TypeVar("T")


@dataclass(frozen=True)
class Plan:
    """A checked experiment: what is looked for, what is fixed and what varies."""

    settings: SweepSettings
    base: dict[str, Any]
    """The trial block, nested, as `build_config` takes it."""
    space: Space
    roots: tuple[Path, ...]
    """Folders in which relative data files are looked up: the experiment file's, then the working folder."""

    def config(self, params: Mapping[str, Any], **override: Any) -> TrialConfig:
        """The settings of a trial with these sampled values.

        Raises:
            ConfigError: if they do not fit together.
        """
        return build_config(self.base, {**params, **override})

    def workspace(self, storage: Path) -> Workspace:
        """Where trials keep what they share."""
        return Workspace(storage.absolute() / "cache", tuple(root.absolute() for root in self.roots))

    def searches_source(self) -> bool:
        """Whether some trials may train a source stage and others not."""
        return "source.enabled" in self.space.names

    def to_mapping(self) -> dict[str, Any]:
        """The experiment as JSON-ready values, the same for the same experiment."""
        return {
            "sweep": self.settings.model_dump(mode="json"),
            "trial": {name: value for name, value in self.base.items() if name != "metric"},  # stands in sweep
            "space": self.space.to_mapping(),
            "roots": [str(root) for root in self.roots],
        }


def find_experiment(name: str) -> Path:
    """The file of that path, or else the shipped experiment of that name.

    Raises:
        PlanError: if there is neither.
    """
    if os.path.isfile(name):
        return Path(name)
    if name in shipped():
        return shipped()[name]
    what = "is a folder or device, not an experiment file" if os.path.exists(name) else "no such file"
    raise PlanError([f"{name}: {what}, and no shipped experiment of that name; there are {', '.join(shipped())}"])


def load_plan(file: Path, overrides: Mapping[str, str] | None = None) -> Plan:
    """Read and check an experiment file, without looking at the data.

    Args:
        file: the YAML file.
        overrides: values, as YAML text, by dotted name that begins with the block (`sweep.trials`).

    Raises:
        PlanError: naming every mistake.
    """
    try:
        blocks = load_yaml(file)
    except SpaceError as error:
        raise PlanError(list(error.problems)) from None
    return build_plan(_override(blocks, overrides or {}), (file.parent.resolve(), Path.cwd()), str(file))


def plan_of(blocks: Mapping[str, Any], overrides: Mapping[str, str] | None = None) -> Plan:
    """Check an experiment that is given as values; relative data files are looked up in the working folder.

    Args:
        blocks: the blocks by name.
        overrides: as `load_plan` takes them.

    Raises:
        PlanError: naming every mistake.
    """
    return build_plan(_override(blocks, overrides or {}), (Path.cwd(),), "experiment")


def load_sweep(place: Place, overrides: Mapping[str, str] | None = None) -> Plan:
    """The plan of a sweep that exists, with other budgets or resources where that is asked for.

    Raises:
        PlanError: if there is none of the name, or what is to change would make it another sweep.
    """
    facts = load_facts(place)
    allowed = [f"sweep.{name}" for name in CHANGEABLE]
    if fixed := [name for name in overrides or {} if name not in allowed]:
        reason = "cannot change in an existing sweep; run another one, or change one of"
        raise PlanError([f"--set {name}: {reason} {', '.join(allowed)}" for name in fixed])
    blocks = _override({name: facts[name] for name in BLOCKS}, overrides or {})
    return build_plan(blocks, data_roots(facts, place.storage), str(place.plan))


def build_plan(blocks: Mapping[str, Any], roots: tuple[Path, ...], origin: str) -> Plan:
    """Check the three blocks, each by its owner, then against each other.

    Raises:
        PlanError: naming every mistake; each begins with `origin`.
    """
    problems = [unknown(str(name), list(BLOCKS), what="block") for name in blocks if name not in BLOCKS]
    problems += [f"{name}: this block is missing" for name in ("sweep", "trial") if blocks.get(name) is None]
    settings = collect(problems, lambda: _settings(blocks["sweep"])) if blocks.get("sweep") is not None else None
    given = {} if blocks.get("space") is None else blocks["space"]
    space = collect(problems, lambda: parse_space(given))
    base = blocks.get("trial")
    if base is not None and not isinstance(base, dict):
        problems.append(f"trial: must be a mapping of settings, got {base!r:.80}")
    elif base is not None:
        base = dict(base) | ({"metric": settings.metric} if settings else {})
        found = _fixed_problems(base, given) if space is None else _joint_problems(blocks["trial"], base, space)
        problems += found
    if settings and space and isinstance(base, dict):
        problems += _start_problems(settings, space)
    if problems or settings is None or space is None or base is None:
        raise PlanError([f"{origin}: {problem}" for problem in problems])
    return Plan(settings, base, space, roots)


def _settings(block: Any) -> SweepSettings:
    if not isinstance(block, dict):
        raise ConfigError(f"sweep: must be a mapping of settings, got {block!r:.80}")
    try:
        return SweepSettings.model_validate(block)
    except ValidationError as error:
        sentences = describe(error, SweepSettings)
        raise ConfigError([s if s.startswith("sweep.") else f"sweep.{s}" for s in sentences]) from None


def _joint_problems(written: Mapping[str, Any], base: dict[str, Any], space: Space) -> Iterator[str]:
    """Mistakes that show only where `trial` and `space` meet: names, types, and what each encoder can bear."""
    known = list(field_names())
    searched = [name for name in space.names if name in known and name != "metric"]
    for name in space.names:
        if name not in known:
            yield f"space.{name}: {unknown(name, known)}"
        elif _stands_in(written, name):
            yield f"space.{name}: stands under trial too; a setting is either fixed or searched"
    if "metric" in written or "metric" in space.names:
        yield "trial.metric: is set by sweep.metric; leave it out here"
    if len(searched) < len(space.names):
        yield from _fixed_problems(base, space.names)
        return
    try:
        points = [space.complete({}), *(space.complete({name: value}) for name, value in space.corners())]
    except SpaceError as error:
        yield from (f"space.{problem}" for problem in error.problems)
        return
    seen: set[str] = set()
    for point in points:
        for encoder in _encoders(base, space, point):
            for problem in _problems_of(base, point | encoder):
                if problem not in seen:
                    seen.add(problem)
                    where = "space" if problem.partition(":")[0] in space.names else "trial"
                    yield f"{where}.{problem}"


def _fixed_problems(base: Mapping[str, Any], searched: Any) -> Iterator[str]:
    """Mistakes of `trial` alone, where `space` has its own; a setting that is searched is not missed here."""
    names = set(searched) if isinstance(searched, Mapping) else set()
    for problem in _problems_of(base, {}):
        if problem.partition(":")[0] not in names:
            yield f"trial.{problem}"


def _encoders(base: Mapping[str, Any], space: Space, point: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The encoders with which a point may meet: all on offer, unless a condition ties the point to some."""
    if "encoder" not in space.names:
        return [{}]
    options = [value for name, value in space.corners() if name == "encoder"]
    return [{"encoder": option} for option in options if {**point, "encoder": option} in space]


def _problems_of(base: Mapping[str, Any], params: Mapping[str, Any]) -> list[str]:
    """What is wrong with the settings of one point: as values, for the encoder, or as something else than they say."""
    try:
        config = build_config(base, params)
        problems = limit_problems(config)
    except ConfigError as error:
        return list(error.problems)
    taken = config.to_flat()
    return problems + [
        f"{name}: {value!r} is taken for {taken[name]!r}; write it so, as conditions and the study compare values"
        for name, value in params.items()
        if name in taken and not same(taken[name], value)
    ]


def _start_problems(settings: SweepSettings, space: Space) -> Iterator[str]:
    given = settings.start_with or []
    for index, point in enumerate(given):
        for problem in space.check(point, partial=True):
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


def collect(problems: list[str], make: Callable[[], T]) -> T | None:
    """What `make` makes, or None with its mistakes added to the list."""
    try:
        return make()
    except (ConfigError, SpaceError) as error:
        problems += error.problems
        return None


def _override(blocks: Mapping[str, Any], overrides: Mapping[str, str]) -> dict[str, Any]:
    """Put `--set` values into the blocks; dots lead inwards, except that names of the space have dots themselves."""
    result: dict[str, Any] = json.loads(json.dumps(blocks, default=str))
    problems = []
    for name, text in overrides.items():
        block, _, rest = name.partition(".")
        if block not in BLOCKS or not rest:
            problems.append(f"--set {name}: a name begins with one of {', '.join(b + '.' for b in BLOCKS)}")
            continue
        path = [rest] if block == "space" else rest.split(".")
        inner = result.setdefault(block, {})
        for step in path[:-1]:
            inner = inner.setdefault(step, {}) if isinstance(inner, dict) else inner
        if not isinstance(inner, dict):
            problems.append(f"--set {name}: {name.rpartition('.')[0]} is no mapping of settings, but {inner!r:.80}")
            continue
        value = collect(problems, partial(parse_yaml, f"value: {text}", f"--set {name}"))
        if value is not None:
            inner[path[-1]] = value["value"]
    if problems:
        raise PlanError(problems)
    return result
