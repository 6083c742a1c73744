"""Writes the experiment after a sweep: its own, with what its findings change."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from search.advice.finding import Finding
from search.advice.sweep import Sweep
from search.errors import PlanError
from search.init.yaml_lines import block_lines, comment
from search.plan.named_files import NamedFiles
from search.plan.new_defaults import without_new_defaults
from search.plan.plan import build_plan
from search.plan.settings import SweepSettings
from search.propose.start_from import load_earlier_trials
from search.storage.sweep_folder import SweepFolder
from spaces import Choice, Dimension, Float, Int, Scalar, Space
from trainable.settings.values import Nested

_OF_ONE_SWEEP = ("name", "start_with", "start_from", "ranked_sources")
"""Settings of a sweep that the next one does not take over: names, first points, and what is done already."""


def next_name(folder: SweepFolder) -> str:
    """Return the name of the next sweep: `sms-2` after `sms`, `sms-3` after `sms-2`; one that no sweep has."""
    numbered = re.fullmatch(r"(.+)-(\d+)", folder.name)
    stem, number = (numbered[1], int(numbered[2])) if numbered else (folder.name, 1)
    while (folder.storage / f"{stem}-{number + 1}").exists():
        number += 1
    return f"{stem}-{number + 1}"


def next_experiment(sweep: Sweep, findings: Sequence[Finding], name: str, into: Path) -> str:
    """Return the experiment after a sweep as YAML; each change has its reason as a comment above it.

    Args:
        sweep: the sweep.
        findings: what it says, see `search.advice.findings`.
        name: the name of the next sweep.
        into: the folder of the new file, to which its paths are relative.

    Raises:
        PlanError: if the changes together are no valid experiment.
        ConfigError: if an encoder's folder is missing.
    """
    old = sweep.plan.to_mapping()
    draft = _Draft(sweep.plan.space, without_new_defaults(old["trial"]))
    changes = [(setting, value, each) for each in findings for setting, value in each.changes.items()]
    # A source that is left out takes its own settings with it, so that no other change can concern them.
    for setting, value, finding in sorted(changes, key=lambda change: change[1] is not False):
        draft.change(setting, value, finding.reason)
    experiment = old | {"sweep": _settings(sweep, name), "trial": draft.trial, "space": draft.space.to_mapping()}
    blocks = NamedFiles(sweep.plan.roots, lambda path, _: os.path.relpath(path, into)).in_blocks(experiment)
    if fitting := _earlier_trials(sweep, blocks, into):
        blocks["sweep"] = {**blocks["sweep"], "start_from": sweep.folder.name}
        draft.reasons["sweep.start_from"] = (
            f"The sampler learns from the {fitting} trials of {sweep.folder.name} that fit this space."
        )
    build_plan(blocks, (into.resolve(), Path.cwd()), name)
    return "\n".join(_lines(sweep, findings, blocks, draft.reasons)) + "\n"


@dataclass
class _Draft:
    """The blocks `trial` and `space` while changes are made, and the reasons by dotted path."""

    space: Space
    trial: Nested
    reasons: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._searched = set(self.space.names)

    def change(self, name: str, value: Int | Float | Choice | Scalar, reason: str) -> None:
        """Search a setting in another domain, or fix it; nothing if an earlier change has left it out."""
        if name in self._searched and name not in self.space.names:
            return
        if isinstance(value, Int | Float | Choice):
            when = self.space.dimensions[name].when
            self.space = Space({**self.space.dimensions, name: Dimension(value, when)})
            self.reasons[f"space.{name}"] = reason
            return
        if name in self.space.names:
            self.space = self.space.fix(name, value)
        if name.endswith(".enabled") and value is False:
            self._leave_out(name.removesuffix("enabled"))
        self.trial = _with_setting(self.trial, name.split("."), value)
        self.reasons[f"trial.{name}"] = reason

    def _leave_out(self, prefix: str) -> None:
        """Search no setting of a stage that is switched off."""
        for name in [each for each in self.space.names if each.startswith(prefix)]:
            if name in self.space.names:
                self.space = self.space.fix(name, self.space.dimensions[name].domain.corners()[0])


def _with_setting(block: Nested, path: Sequence[str], value: Scalar) -> dict[str, Any]:
    """Return a block with a setting in it, first among those of its stage."""
    first, *rest = path
    if not rest:
        return {first: value, **{name: other for name, other in block.items() if name != first}}
    return {**block, first: _with_setting(block.get(first) or {}, rest, value)}


def _settings(sweep: Sweep, name: str) -> dict[str, Any]:
    """Return the block `sweep`: the settings that are not the defaults, without a password."""
    left_out = {*_OF_ONE_SWEEP, *(["tracking_uri"] if sweep.plan.settings.has_secret else [])}
    given, defaults = (each.model_dump(mode="json") for each in (sweep.plan.settings, SweepSettings(name=name)))
    kept = {each: value for each, value in given.items() if each not in left_out and value != defaults[each]}
    return {"name": name, **kept}


def _earlier_trials(sweep: Sweep, blocks: Nested, into: Path) -> int:
    """Return how many trials of the sweep the sampler of the next one can learn from."""
    with_older = {**blocks, "sweep": {**blocks["sweep"], "start_from": sweep.folder.name}}
    try:
        plan = build_plan(with_older, (into.resolve(), Path.cwd()), sweep.folder.name)
        return len(load_earlier_trials(plan, sweep.folder.storage, ())["trials"])
    except PlanError:  # its sampler does not learn, or no trial fits the new space
        return 0


def _lines(sweep: Sweep, findings: Sequence[Finding], blocks: Nested, reasons: Nested) -> Iterator[str]:
    head = f"Written by `transfersweep suggest {sweep.folder.name}`: its experiment, with what its results suggest."
    yield from comment(0, f"{head} Each change has its reason above it.")
    for finding in findings:
        if not finding.changes:
            yield from comment(0, f"- {finding.reason}")
    for name, block in blocks.items():
        if block:
            yield from ("", f"{name}:", *block_lines(block, reasons, name, deep=name == "trial"))
