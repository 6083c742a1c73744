"""What a sweep leaves behind, as plain values: its trials, its scores and the whole outcome as JSON."""

from __future__ import annotations

import json
import re
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar

from pydantic import ConfigDict, TypeAdapter

from search.record.trial_names import Key, Role, key_of
from spaces import Point
from trainable.settings.values import Params
from trainable.tasks.metrics import ClassScores, Direction

_CHECKPOINT = re.compile(r"(?:.*/)?(tune-[^/]+/trial-[^/]+/checkpoint_[^/]+)")


class _Json:
    # NaN and infinity are not JSON: they travel as strings, which pydantic reads back as numbers.
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(ser_json_inf_nan="strings")


class State(StrEnum):
    """How a trial stands; the same word in the study, in MLflow and in the report."""

    RUNNING = "running"
    PAUSED = "paused"
    """Waiting at a rung, to be promoted or stopped."""
    FINISHED = "finished"
    STOPPED = "stopped"
    """By the scheduler."""
    FAILED = "failed"
    """An exception, a NaN, or out of memory after all that could be tried."""
    LOST = "lost"
    """Its process died and it could not be resumed."""


@dataclass(frozen=True)
class TrialRecord(_Json):
    """One trial as it stands now."""

    number: int
    """Of the search's trial; a repeat has that of the trial it repeats."""
    state: State
    params: Point
    """The sampled settings, by dotted name."""
    seed: int
    role: Role = "search"
    """`confirm` is a finalist again on a further seed, `no_source` the comparison without a source."""
    value: float | None = None
    """Best validation score so far, of the sweep's metric."""
    metrics: dict[str, float] = field(default_factory=dict)
    """Scores at the best evaluation, by dotted name (`target.validation.accuracy`)."""
    progress: float = 0.0
    """Share of the target stage that is done, 0 to 1."""
    seconds: float = 0.0
    times: dict[str, dict[str, float]] = field(default_factory=dict)
    """What it was spent on: `seconds`, `tokens` and `computed` (tokens with padding) by part, such as
    `target.train`; without what a process had spent that died in the middle of a session."""
    notes: list[str] = field(default_factory=list)
    """Why it spent time that could have been saved, one sentence each."""
    error: str | None = None
    checkpoint: str | None = None
    """Where its newest checkpoint lies, from the sweep's folder on: a sweep can be moved and copied."""

    @property
    def key(self) -> Key:
        """What tells it from all other trials of its sweep."""
        return key_of(self.number, self.role, self.seed)

    @property
    def title(self) -> str:
        """What it is called in a text: `trial 6`, and its repeats `trial 6, seed 2`."""
        without = " without its source" if self.role == "no_source" else ""
        return f"trial {self.number}{without}" + ("" if self.role == "search" else f", seed {self.seed}")

    @property
    def ended(self) -> bool:
        """Whether nothing more will come of it."""
        return self.state not in (State.RUNNING, State.PAUSED)

    def checkpoint_in(self, folder: Path) -> Path | None:
        """Its newest checkpoint, in a sweep's folder; it may have been deleted."""
        return None if self.checkpoint is None else folder / self.checkpoint


@dataclass(frozen=True)
class Score(_Json):
    """A validation score over seeds."""

    mean: float
    sd: float | None
    """Sample standard deviation; none for one seed."""
    values: tuple[float, ...]

    @classmethod
    def over(cls, values: Iterable[float]) -> Score:
        """Mean and spread of one score a seed, of which there is at least one."""
        values = tuple(values)
        return cls(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None, values)


@dataclass(frozen=True)
class TestScore(_Json):
    """The winner on the test split, which is read once."""

    __test__: ClassVar[bool] = False  # the name is no invitation to pytest

    metrics: dict[str, float]
    """By plain name, the sweep's metric among them."""
    low: float
    high: float
    """95 % bootstrap interval of the sweep's metric."""
    rows: int
    per_class: list[ClassScores]
    never_predicted: tuple[str, ...] = ()
    """Labels that the split has and the model gives to none of its rows."""


@dataclass(frozen=True)
class Comparison(_Json):
    """Whether the source stage helped, on the target's validation split."""

    source: str
    with_source: Score
    without_source: Score
    difference: float
    """Mean with the source minus mean without, whatever the metric's direction."""
    low: float | None
    high: float | None
    """95 % interval of the difference; none where the seeds cannot give one."""
    sentence: str
    """The same in plain words."""


@dataclass(frozen=True)
class BudgetUsed:
    """What a sweep has spent of its budget so far."""

    trials: int
    minutes: float
    worker_hours: float


@dataclass(frozen=True)
class BudgetLimits(_Json):
    """What a sweep may spend; none where there is no limit."""

    trials: int
    minutes: float | None = None
    worker_hours: float | None = None


@dataclass(frozen=True)
class Outcome(_Json):
    """All that is known of a sweep: what `show` prints and what `--json` ends with."""

    name: str
    storage: str
    tracking_uri: str
    """Without its password, see `search.redaction.redact`."""
    run_id: str | None
    """The sweep's MLflow run."""
    metric: str
    direction: Direction
    trials: tuple[TrialRecord, ...]
    winner: int | None
    """The search trial whose settings won."""
    exported: Key | None
    """Its run whose model is exported: the best of its seeds on validation."""
    winner_config: Params
    """Every setting of that run, by dotted name."""
    validation: Score | None
    test: TestScore | None
    comparison: Comparison | None
    seconds: float
    worker_hours: float
    budget: BudgetLimits
    phases: dict[str, float] = field(default_factory=dict)
    """Seconds of the driver by phase: `start`, `search`, `finish`."""
    slots: int = 0
    """Trials that ran at a time."""
    notes: tuple[str, ...] = ()
    complete: bool = True
    """Whether nothing is left for `resume` to do."""

    def record(self, key: Key) -> TrialRecord:
        """The trial of that key.

        Raises:
            KeyError: where there is none.
        """
        for record in self.trials:
            if record.key == key:
                return record
        raise KeyError(key)

    @property
    def searched(self) -> tuple[TrialRecord, ...]:
        """The trials of the search."""
        return tuple(record for record in self.trials if record.role == "search")

    @property
    def repeats(self) -> tuple[TrialRecord, ...]:
        """The trials beside the search: finalists again."""
        return tuple(record for record in self.trials if record.role != "search")

    def to_json(self) -> dict[str, Any]:
        """Only what `json.dumps` takes; the winner stands under one key with its settings.

        `trials` and `counts` are the search's own; what was run beside it stands under `repeats`. `exported` names one
        of both by number, role and seed.
        """
        fields: dict[str, Any] = json.loads(_OUTCOME.dump_json(self))
        run = None if self.exported is None else self.record(self.exported)
        number, config = fields.pop("winner"), fields.pop("winner_config")
        winner = None
        if number is not None:
            params = next(trial["params"] for trial in fields["trials"] if trial["number"] == number)
            winner = {"number": number, "params": params, "config": config}
        everything = fields.pop("trials")
        return fields | {
            "winner": winner,
            "exported": run and {"number": run.number, "role": run.role, "seed": run.seed},
            "counts": {"total": len(self.searched), **count_states(self.searched)},
            "trials": [trial for trial in everything if trial["role"] == "search"],
            "repeats": [trial for trial in everything if trial["role"] != "search"],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Outcome:
        """The outcome that `to_json` wrote.

        Raises:
            pydantic.ValidationError: when the mapping is no such thing.
        """
        winner = data["winner"] or {"number": None, "config": {}}
        fields = {key: value for key, value in data.items() if key not in ("counts", "repeats")}
        trials, run = [*data["trials"], *data["repeats"]], data["exported"]
        if isinstance(run, int):
            run = [trial for trial in trials if trial["number"] == run][0]
        fields["trials"] = [
            trial | {"number": _number(trial), "checkpoint": relative_checkpoint(trial["checkpoint"])}
            for trial in trials
        ]
        fields["exported"] = run and key_of(_number(run), run["role"], run["seed"])
        return _OUTCOME.validate_python(fields | {"winner": winner["number"], "winner_config": winner["config"]})


_OUTCOME = TypeAdapter(Outcome)


def relative_checkpoint(checkpoint: str | None) -> str | None:
    """A checkpoint's path from the sweep's folder on, as it is kept; older versions kept where that folder lay, too."""
    if checkpoint is None or not Path(checkpoint).is_absolute():
        return None if checkpoint is None or ".." in Path(checkpoint).parts else checkpoint
    match = _CHECKPOINT.fullmatch(checkpoint)
    return match[1] if match else None


def _number(trial: Mapping[str, Any]) -> int:
    """The number of the trial that this is or repeats, which older versions call `of`: there repeats were numbered."""
    number: int = trial["number"] if trial.get("of") is None else trial["of"]
    return number


def count_states(records: Iterable[TrialRecord]) -> dict[str, int]:
    """How many trials stand in each state, every state named."""
    counts = Counter(record.state for record in records)
    return {state.value: counts[state] for state in State}


def ranked(records: Iterable[TrialRecord], direction: Direction) -> list[TrialRecord]:
    """Best first: finished before running before paused before stopped, as a score cut short is not comparable."""
    order = [State.FINISHED, State.RUNNING, State.PAUSED, State.STOPPED, State.LOST, State.FAILED]

    def key(record: TrialRecord) -> tuple[int, bool, float, int]:
        scored = record.value is not None and record.value == record.value  # a NaN is no score
        value = direction.cost(record.value or 0.0) if scored else 0.0
        return order.index(record.state), not scored, value, record.number

    return sorted(records, key=key)


def best_so_far(records: Sequence[TrialRecord], direction: Direction) -> TrialRecord | None:
    """The search trial with the best score yet, finished or not; none while there is no score."""
    scored = [r for r in records if r.role == "search" and r.value is not None and r.value == r.value]
    if not scored:
        return None
    return min(scored, key=lambda r: (direction.cost(r.value or 0.0), r.number))
