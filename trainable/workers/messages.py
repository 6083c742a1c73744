"""Messages between the driver and a trial's process, which Ray Tune transports.

Tune transports mappings of plain values, and flattens nested mappings of a result (`metrics/...`). Each message is
therefore converted to such a mapping and back. This module imports neither Ray nor torch.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from trainable.settings.values import Nested

TrialKey = int | str
"""Identifies a trial within its sweep."""
VALUE, PERCENT_DONE = "value", "percent_done"
"""Fields of a report that Ray's schedulers read by name."""
KEY = "key"
"""The field of a task that holds its trial's key."""
_NESTED = "metrics/"


@dataclass(frozen=True)
class Resources:
    """The workers of one trial, and the resources of each."""

    count: int
    """Number of workers: processes that train the trial together."""
    cpus: float
    """CPUs of each worker, as Ray counts them."""
    gpus: float
    """GPUs of each worker; below 1, several trials share a GPU."""
    threads: int
    """Torch threads of each worker."""


@dataclass(frozen=True)
class TrialTask:
    """From the driver to a trial's process, as the trial's Tune config: what to train."""

    key: TrialKey
    trial: Nested
    """The trial's settings, as `build_config` takes them."""
    compare: bool
    """Whether a scheduler may compare the trial with others and stop it."""
    resume: str | None
    """Folder of a checkpoint to continue from; None to start at the beginning."""
    checkpoint_seconds: float
    """Shortest time between two checkpoints."""
    deadline: float = math.inf
    """The time at which the trial must end, in seconds since 1970."""

    def to_config(self) -> dict[str, Any]:
        """Return the task as a Tune config."""
        return _mapping(self)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "TrialTask":
        """Read what `to_config` returned; entries that Tune added are ignored."""
        return cls(**{each.name: config[each.name] for each in fields(cls)})


def key_of_task(config: Mapping[str, Any]) -> TrialKey:
    """Return the key of the trial with this Tune config."""
    key: TrialKey = config[KEY]
    return key


@dataclass(frozen=True)
class TrialReport:
    """From a trial's process to the driver, as a Tune result: its progress and its scores."""

    stage: str
    """The dotted name of the stage: `source`, `sources.NAME` or `target`."""
    stage_step: int = 0
    """Optimiser steps of the stage so far."""
    epoch: float = 0.0
    """Passes over the stage's training data so far."""
    stage_done: float = 0.0
    """Fraction of the stage that is done, 0 to 1."""
    fraction_done: float = 0.0
    """Fraction of the target stage that is done, 0 to 1."""
    percent_done: float = 0.0
    """`fraction_done` in percent, which schedulers read; 0 in a trial that must not be compared."""
    value: float | None = None
    """Best value so far of the sweep's metric on the target's validation split; None in a report without that score."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Scores by dotted name (`target.validation.macro_f1`); empty in a heartbeat."""
    improved: bool = False
    """Whether this is the best evaluation of the target stage so far."""
    source_ready: bool = False
    """Whether a source stage ends with this report."""
    finished: bool = False
    """Whether the trial ends with this report, after its last step."""
    cut: bool = False
    """Whether the trial ends with this report before its last step, as its deadline has come."""
    times: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Time and tokens so far in this process, see `trainable.clock`."""
    notes: tuple[str, ...] = ()
    """Reasons why it took more time than necessary, one sentence each."""

    @property
    def of_target(self) -> bool:
        """Return whether the report is from the target stage."""
        return self.stage == "target"

    def to_result(self) -> dict[str, Any]:
        """Return the message as a Tune result."""
        result = _mapping(self) | {"times": json.dumps(self.times), "notes": list(self.notes)}
        return {name: content for name, content in result.items() if content is not None}


@dataclass(frozen=True)
class TrialFailure:
    """From a trial's process to the driver, as its last Tune result: why the trial cannot continue."""

    error: str | None = None
    """The error; None if the only reason is a full disk."""
    disk_is_full: bool = False
    """Whether a disk is full: the trial can continue when there is room again."""

    def to_result(self) -> dict[str, Any]:
        """Return the message as a Tune result."""
        return _mapping(self)


def read_result(result: Mapping[str, Any]) -> TrialReport | TrialFailure | None:
    """Read the message in a Tune result, flattened or not; return None if there is none.

    There is none for a trial that was stopped before its first report: Tune itself creates a result for it.
    """
    if "stage" in result:
        given = {each.name: result[each.name] for each in fields(TrialReport) if each.name in result}
        flat = {name.removeprefix(_NESTED): score for name, score in result.items() if name.startswith(_NESTED)}
        given["metrics"] = {**given.get("metrics", {}), **flat}
        given["times"] = json.loads(given.get("times", "{}"))
        given["notes"] = tuple(given.get("notes", ()))
        return TrialReport(**given)
    if "disk_is_full" in result:
        return TrialFailure(**{each.name: result[each.name] for each in fields(TrialFailure)})
    return None


def _mapping(value: "TrialTask | TrialReport | TrialFailure") -> dict[str, Any]:
    return {each.name: getattr(value, each.name) for each in fields(value)}
