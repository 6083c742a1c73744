"""Joins the three blocks of an experiment file and checks them against each other and the encoders.

The one place where `spaces` meets `trainable`. All mistakes are found before anything starts, and told at once.
"""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from search.errors import PlanError
from search.plan.crosscheck import Blocks, joint_problems, read_settings, read_space
from search.plan.settings import CHANGEABLE, SweepSettings
from search.storage.store_uri import default_uri
from search.storage.sweep_folder import Experiment, SweepFolder, data_roots, load_facts
from spaces import Space, SpaceError, shipped
from trainable.errors import ConfigError
from trainable.model.limits import limits_without_transformers, resolve_encoder
from trainable.settings.config import TrialConfig, build_config
from trainable.settings.values import Nested, Params
from trainable.settings.wording import shown, unknown
from trainable.settings.yaml_file import load_yaml, parse_value
from trainable.workspace import Workspace

BLOCKS = ("sweep", "trial", "space")
T = TypeVar("T")


@dataclass(frozen=True)
class Plan:
    """A checked experiment: what is looked for, what is fixed and what varies."""

    settings: SweepSettings
    base: Nested
    """The trial block, as `build_config` takes it."""
    space: Space
    roots: tuple[Path, ...]
    """Folders in which relative files and encoders are looked up: the experiment file's, then the working folder."""

    def config(self, params: Params, **override: Any) -> TrialConfig:
        """The settings of a trial with these sampled values, an encoder's folder with its whole path.

        Raises:
            ConfigError: if they do not fit together, or the folder is gone.
        """
        config = build_config(self.base, {**params, **override})
        return config.model_copy(update={"encoder": resolve_encoder(config.encoder, self.roots)})

    def workspace(self, storage: Path) -> Workspace:
        """Where trials keep what they share."""
        return Workspace(storage.absolute() / "cache", tuple(root.absolute() for root in self.roots))

    def tracking_uri(self, storage: Path) -> str:
        """Where MLflow records the sweep."""
        return self.settings.tracking_uri or default_uri(storage)

    def searches_source(self) -> bool:
        """Whether some trials may train a source stage and others not."""
        return "source.enabled" in self.space.names

    def to_mapping(self) -> Experiment:
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
    except ConfigError as error:
        raise PlanError(list(error.problems)) from None
    return build_plan(_override(blocks, overrides or {}), (file.parent.resolve(), Path.cwd()), str(file))


def plan_from_blocks(blocks: Nested, overrides: Mapping[str, str] | None = None) -> Plan:
    """Check an experiment that is given as values; relative data files are looked up in the working folder.

    Args:
        blocks: the blocks by name.
        overrides: as `load_plan` takes them.

    Raises:
        PlanError: naming every mistake.
    """
    return build_plan(_override(blocks, overrides or {}), (Path.cwd(),), "experiment")


def load_sweep(folder: SweepFolder, overrides: Mapping[str, str] | None = None) -> Plan:
    """The plan of a sweep that exists, with other budgets or resources where that is asked for.

    Raises:
        PlanError: if there is none of the name, or what is to change would make it another sweep.
    """
    facts = load_facts(folder)
    allowed = [f"sweep.{name}" for name in CHANGEABLE]
    if fixed := [name for name in overrides or {} if name not in allowed]:
        reason = "cannot change in an existing sweep; run another one, or change one of"
        raise PlanError([f"--set {name}: {reason} {', '.join(allowed)}" for name in fixed])
    given = {"sweep": facts["sweep"], "trial": facts["trial"], "space": facts["space"]}
    blocks = _override(given, overrides or {})
    return build_plan(blocks, data_roots(facts, folder.storage), str(folder.plan))


def build_plan(blocks: Nested, roots: tuple[Path, ...], origin: str) -> Plan:
    """Check the three blocks, each by its owner, then against each other.

    Raises:
        PlanError: naming every mistake; each begins with `origin`.
    """
    problems = [unknown(str(name), list(BLOCKS), what="block") for name in blocks if name not in BLOCKS]
    problems += [f"{name}: this block is missing" for name in ("sweep", "trial") if blocks.get(name) is None]
    settings = read_settings(blocks.get("sweep"), problems)
    given = {} if blocks.get("space") is None else blocks["space"]
    space, searched = read_space(given, problems), given if isinstance(given, Mapping) else {}
    trial = blocks.get("trial")
    if isinstance(trial, dict):
        problems += joint_problems(Blocks(settings, trial, space, searched, roots), limits_without_transformers)
    elif trial is not None:
        problems.append(f"trial: must be a mapping of settings, got {shown(trial)}")
    if problems or trial is None:
        raise PlanError([f"{origin}: {problem}" for problem in problems])
    return Plan(settings, {**trial, "metric": settings.metric}, space, roots)


def encoder_problems(plan: Plan) -> list[str]:
    """What an encoder cannot bear of a plan, as transformers reads its configuration; loads torch."""
    from trainable.model.encoder import checked_limits

    trial = {name: value for name, value in plan.base.items() if name != "metric"}
    return list(joint_problems(Blocks(plan.settings, trial, plan.space, plan.space.names, plan.roots), checked_limits))


def collect_problems(problems: list[str], make: Callable[[], T]) -> T | None:
    """What `make` makes, or None with its mistakes added to the list."""
    try:
        return make()
    except (ConfigError, SpaceError) as error:
        problems += error.problems
        return None


def _override(blocks: Nested, overrides: Mapping[str, str]) -> dict[str, Any]:
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
            problems.append(
                f"--set {name}: {name.rpartition('.')[0]} must be a mapping of settings, got {shown(inner)}"
            )
            continue
        try:
            inner[path[-1]] = parse_value(text, name)
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise PlanError(problems)
    return result
