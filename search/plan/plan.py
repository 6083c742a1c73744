"""Reads the three blocks of an experiment file and checks them against each other and the encoders.

All mistakes are found before anything starts, and are reported together.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from search.errors import PlanError
from search.plan.crosscheck import Blocks, joint_problems, problems_without_transformers, read_settings, read_space
from search.plan.new_defaults import with_new_defaults
from search.plan.settings import CHANGEABLE, SweepSettings
from search.plan.shares import with_layers
from search.plan.target_task import with_metric
from search.storage.store_uri import default_uri
from search.storage.sweep_folder import Experiment, SweepFolder, data_roots, load_saved_plan
from spaces import Space, shipped
from trainable.errors import ConfigError
from trainable.model.limits import limit_problems, resolve_encoder
from trainable.model.pooling import resolve_pooling
from trainable.model.resolve import resolved
from trainable.settings.config import TrialConfig, build_config
from trainable.settings.mistake_messages import shown, unknown
from trainable.settings.names import stage_blocks
from trainable.settings.values import Nested, Params
from trainable.settings.yaml_file import load_yaml, parse_value
from trainable.workspace import Workspace

BLOCKS = ("sweep", "trial", "space")
LEAST_FINALISTS, MOST_FINALISTS = 2, 8
"""Number of finalists where many rows are held out for validation, and where very few are."""
ENOUGH_ROWS = 200
"""Held-out rows of all finalists together: with fewer rows each, more settings look alike by chance (LOG.md)."""
LOAD_BEST = "target.load_best_at_end"


@dataclass(frozen=True)
class Plan:
    """A checked experiment: how to search, what stays fixed and what varies."""

    settings: SweepSettings
    base: Nested
    """The trial block in the form that `build_config` needs."""
    space: Space
    roots: tuple[Path, ...]
    """Folders in which relative files and encoders are looked up: the experiment file's, then the working folder."""
    held_out_rows: int = 0
    """Rows that are held out for validation where other rows can be instead, see `trainable.inputs.folds`; 0 where they
    cannot. Known once the data are read."""
    source_rows: int | None = None
    """Training rows of every source stage, if the minutes have no room for all; known once a batch was measured."""

    @property
    def has_folds(self) -> bool:
        """Return whether other rows can be held out for validation."""
        return self.held_out_rows > 0

    @property
    def cross_validates(self) -> bool:
        """Return whether each repeat of a finalist holds out other rows."""
        return self.has_folds and self.settings.cross_validate and self.settings.confirm_seeds > 0

    @property
    def folds(self) -> int:
        """Return the number of draws of the held-out rows on which finalists and baselines are scored."""
        return 1 + self.settings.confirm_seeds if self.cross_validates else 1

    def finalists_in(self, round_: int) -> int:
        """Return how many finalists train in a round of further seeds; the first round is 1."""
        if self.settings.finalists is not None:
            return self.settings.finalists
        if not self.cross_validates:
            return LEAST_FINALISTS
        first = min(MOST_FINALISTS, ENOUGH_ROWS // self.held_out_rows)
        return max(LEAST_FINALISTS, first >> (round_ - 1))

    def _most_finalists_in(self, round_: int) -> int:
        """Return how many may train in a round: others are added to compare sources and stages, and for `select`."""
        return self.finalists_in(round_) + 1 + len(self.searched_stages()) + (self.settings.select is not None)

    @property
    def repeats(self) -> int:
        """Return the largest number of repeats after the search, if the winner uses a source."""
        seeds = self.settings.confirm_seeds
        return sum(map(self._most_finalists_in, range(1, seeds + 1))) + (seeds > 0)

    @property
    def models_kept(self) -> int:
        """Return the largest number of models of ended trials that are on disk at the same time."""
        rounds, most = range(1, self.settings.confirm_seeds + 1), self._most_finalists_in
        repeated = max((most(number) * (1 + number) for number in rounds), default=most(1))
        return self.settings.keep_best + repeated + self.settings.refit

    @property
    def refits(self) -> bool:
        """Return whether the winner trains once more on all rows."""
        return self.has_folds and self.settings.refit

    def config(self, params: Params, **override: Any) -> TrialConfig:
        """Return the settings of a trial with these sampled values.

        A share of layers becomes their number, the folder of an encoder an absolute path, and `auto` what it means for
        that encoder, see `resolved`.

        Raises:
            ConfigError: if the settings contradict each other, or the folder is missing.
        """
        known: Params = {} if self.source_rows is None else {"source.train_rows": self.source_rows}
        if self._keeps_last():
            known = {**known, LOAD_BEST: False}
        sampled = with_layers(self.space, self.base, params, self.roots)
        config = build_config(self.base, {**known, **sampled, **override})
        return resolved(config.model_copy(update={"encoder": resolve_encoder(config.encoder, self.roots)}))

    def _keeps_last(self) -> bool:
        """Return whether trials end with their last weights, as the refit will, if the settings leave that open.

        The best of many evaluations on few rows is best by chance, and the refit cannot choose by rows it trains on.
        """
        target = self.base.get("target")
        given = isinstance(target, Mapping) and (target.get("load_best_at_end"), target.get("patience")) != (None, None)
        searched = {LOAD_BEST, "target.patience"} & set(self.space.names)
        return self.refits and not given and not searched

    def workspace(self, storage: Path) -> Workspace:
        """Return the cache folder that all trials share, and where relative files are looked up."""
        return Workspace(storage.absolute() / "cache", tuple(root.absolute() for root in self.roots))

    def tracking_uri(self, storage: Path) -> str:
        """Return the URI of the MLflow server or database that records the sweep."""
        return self.settings.tracking_uri or default_uri(storage)

    def searches_source(self) -> bool:
        """Return whether the space decides if a trial has source stages."""
        return all(name in self.space.names for name in self.source_switches())

    def source_switches(self) -> list[str]:
        """Return the names of the settings that switch the source stages on and off, in the order of training."""
        return [f"{name}.enabled" for name, _ in stage_blocks(self.base) if name != "target"] or ["source.enabled"]

    def searched_stages(self) -> list[str]:
        """Return the dotted names of the stages of a chain that the space switches on and off."""
        switches = self.source_switches() if self.base.get("sources") else []
        return [name.removesuffix(".enabled") for name in switches if name in self.space.names]

    def without_sources(self) -> Params:
        """Return the settings of a trial without any source stage."""
        return dict.fromkeys(self.source_switches(), False)

    def leaves_source_rows_open(self) -> bool:
        """Return whether a sweep may choose the number of source rows: it has a time limit, and nothing sets them."""
        source = self.base.get("source")
        says = {"source.dataset", "source.train_rows"} & set(self.space.names)
        given = not isinstance(source, Mapping) or source.get("train_rows") is not None
        return self.settings.minutes is not None and self.source_rows is None and not given and not says

    def to_mapping(self) -> Experiment:
        """Return the experiment as values for JSON; equal experiments give equal values."""
        return {
            "sweep": self.settings.model_dump(mode="json"),
            "trial": {name: value for name, value in self.base.items() if name != "metric"},  # is in sweep
            "space": self.space.to_mapping(),
            "roots": [str(root) for root in self.roots],
            "held_out_rows": self.held_out_rows,
            "source_rows": self.source_rows,
        }


def find_experiment(name: str) -> Path:
    """Return the file at that path, or else the shipped experiment of that name.

    Raises:
        PlanError: if neither exists.
    """
    if os.path.isfile(name):
        return Path(name)
    if name in shipped():
        return shipped()[name]
    what = "is a folder or device, not an experiment file" if os.path.exists(name) else "no such file"
    raise PlanError([f"{name}: {what}, and no shipped experiment has that name; there are {', '.join(shipped())}"])


def load_plan(file: Path, overrides: Mapping[str, str] | None = None) -> Plan:
    """Read and check an experiment file, without looking at the data.

    Args:
        file: the YAML file.
        overrides: values as YAML text, by dotted names that begin with the block (`sweep.trials`).

    Raises:
        PlanError: naming every mistake.
    """
    try:
        blocks = load_yaml(file)
    except ConfigError as error:
        raise PlanError(list(error.problems)) from None
    return build_plan(_override(blocks, overrides or {}), (file.parent.resolve(), Path.cwd()), str(file))


def plan_from_blocks(blocks: Nested, overrides: Mapping[str, str] | None = None) -> Plan:
    """Check an experiment that is given as a mapping; relative data files are looked up in the working folder.

    Args:
        blocks: the blocks by name.
        overrides: see `load_plan`.

    Raises:
        PlanError: naming every mistake.
    """
    return build_plan(_override(blocks, overrides or {}), (Path.cwd(),), "experiment")


def load_sweep(folder: SweepFolder, overrides: Mapping[str, str] | None = None) -> Plan:
    """Load the plan of an existing sweep, with the requested changes of budgets or resources.

    Raises:
        PlanError: if the sweep does not exist, or a setting is to change that may not change in it.
    """
    facts = load_saved_plan(folder)
    allowed = [f"sweep.{name}" for name in CHANGEABLE]
    if fixed := [name for name in overrides or {} if name not in allowed]:
        reason = "cannot change in an existing sweep; run a new one, or change one of"
        raise PlanError([f"--set {name}: {reason} {', '.join(allowed)}" for name in fixed])
    given = {"sweep": facts["sweep"], "trial": facts["trial"], "space": facts["space"]}
    blocks = _override(given, overrides or {})
    plan = build_plan(blocks, data_roots(facts, folder.storage), str(folder.plan))
    return replace(plan, held_out_rows=facts["held_out_rows"], source_rows=facts.get("source_rows"))


def build_plan(blocks: Nested, roots: tuple[Path, ...], origin: str) -> Plan:
    """Check each of the three blocks, then all of them against each other.

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
        problems += joint_problems(Blocks(settings, trial, space, searched, roots), problems_without_transformers)
    elif trial is not None:
        problems.append(f"trial: must be a mapping of settings, got {shown(trial)}")
    if problems or trial is None:
        raise PlanError([f"{origin}: {problem}" for problem in problems])
    settings = with_metric(settings, trial, space)
    return Plan(settings, {**with_new_defaults(trial, space), "metric": settings.metric}, space, roots)


def encoder_problems(plan: Plan) -> list[str]:
    """Return settings that do not suit an encoder, whose configuration transformers reads; this imports torch."""
    from trainable.model.encoder import checked_limits
    from trainable.model.lora import lora_problems

    def problems_with(settings: Nested, encoder: str, pooling: str) -> list[str]:
        pooling = resolve_pooling(encoder, pooling)
        return limit_problems(settings, checked_limits(encoder, pooling)) + lora_problems(settings, encoder, pooling)

    trial = {name: value for name, value in plan.base.items() if name != "metric"}
    blocks = Blocks(plan.settings, trial, plan.space, plan.space.names, plan.roots)
    return list(joint_problems(blocks, problems_with))


def _override(blocks: Nested, overrides: Mapping[str, str]) -> dict[str, Any]:
    """Return the blocks with `--set` values; dots separate nested names, except in `space`, whose names have dots."""
    result: dict[str, Any] = json.loads(json.dumps(blocks, default=str))
    problems = []
    for name, text in overrides.items():
        block, _, rest = name.partition(".")
        if block not in BLOCKS or not rest:
            problems.append(f"--set {name}: a name must begin with one of {', '.join(b + '.' for b in BLOCKS)}")
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
