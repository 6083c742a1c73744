"""What the driver and a trial's process tell each other through Ray Tune, as values.

Tune carries mappings of plain values and flattens what is nested in a result (`metrics/...`). Each value here therefore
makes such a mapping of itself and is read back from one. Needs neither Ray nor torch.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from trainable.settings.values import Nested

TrialKey = int | str
"""What tells the trials of a sweep apart."""
VALUE, PROGRESS = "value", "progress"
"""Fields of a report that Ray's schedulers read by name."""
KEY = "key"
"""The field of a task by which the driver knows its trial."""
_NESTED = "metrics/"


@dataclass(frozen=True)
class Resources:
    """What one trial takes."""

    count: int
    """Its workers: processes that train it together."""
    cpus: float
    """Of each worker, as Ray counts them."""
    gpus: float
    """Of each worker; several trials share a GPU where it is below 1."""
    threads: int
    """Of torch, in each worker."""


@dataclass(frozen=True)
class TrialTask:
    """What the driver gives to a trial's process: the trial's Tune config."""

    key: TrialKey
    trial: Nested
    """The trial's settings, as `build_config` takes them."""
    compare: bool
    """Whether a scheduler may compare it with other trials, and end it."""
    resume: str | None
    """The folder of a checkpoint to go on from."""
    checkpoint_seconds: float
    """Least time between two checkpoints."""

    def to_config(self) -> dict[str, Any]:
        """As Tune carries it."""
        return _mapping(self)

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "TrialTask":
        """From what `to_config` made; Tune's own entries are left out."""
        return cls(**{each.name: config[each.name] for each in fields(cls)})


def key_of_task(config: Mapping[str, Any]) -> TrialKey:
    """The key of the trial that has this Tune config."""
    key: TrialKey = config[KEY]
    return key


@dataclass(frozen=True)
class TrialReport:
    """What a trial says between two steps of its training."""

    stage: str
    """`source` or `target`."""
    stage_step: int = 0
    """Optimiser steps of the stage that are done."""
    epoch: float = 0.0
    """Passes over the stage's training data that are done."""
    share: float = 0.0
    """Share of the target stage that is done, 0 to 1."""
    progress: float = 0.0
    """The same in percent, by which schedulers compare; 0 in a trial that is not to be compared."""
    value: float | None = None
    """Best value so far of the sweep's metric on the target's validation split; none without a score."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Scores by dotted name (`target.validation.macro_f1`); none in a mere sign of life."""
    improved: bool = False
    """Whether this is the best evaluation of the target stage so far."""
    source_ready: bool = False
    """Whether the source stage ends with this report."""
    finished: bool = False
    """Whether the trial ends with this report."""
    times: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """What was spent so far in this process, see `trainable.clock`."""
    notes: tuple[str, ...] = ()
    """Why time was spent that could have been saved, one sentence each."""

    @property
    def of_target(self) -> bool:
        """Whether the target stage says this."""
        return self.stage == "target"

    def to_result(self) -> dict[str, Any]:
        """As Tune carries it."""
        result = _mapping(self) | {"times": json.dumps(self.times), "notes": list(self.notes)}
        return {name: content for name, content in result.items() if content is not None}


@dataclass(frozen=True)
class TrialFailure:
    """The last thing that a trial says which cannot go on."""

    error: str | None = None
    """Why; none where it is for the disk alone."""
    disk_is_full: bool = False
    """Whether it ended because a disk is full: it can go on once there is room."""

    def to_result(self) -> dict[str, Any]:
        """As Tune carries it."""
        return _mapping(self)


def read_result(result: Mapping[str, Any]) -> TrialReport | TrialFailure | None:
    """What a trial has said, by a result of Tune's, flattened or not; None where it has said nothing.

    So it is of a trial that was stopped before its first report: Tune makes a result for it.
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
