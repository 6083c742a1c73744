"""The results of a sweep as plain values: its trials, its scores, and the outcome that is stored as JSON."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from search.record.checkpoint_paths import relative_checkpoint
from search.record.labels_curve import LabelsCurve
from search.record.ranking import Ranking
from search.record.scores import AsJson, Baseline, Comparison, Gain, PassedOver, Score, TestScore
from search.record.trial_names import Key, Role, key_of, title_of
from search.wording import whole_percent
from spaces import Point
from trainable.metrics.metric import Direction
from trainable.settings.values import Params


class State(StrEnum):
    """State of a trial; the study, MLflow and the report use the same word."""

    RUNNING = "running"
    PAUSED = "paused"
    """Waiting with a checkpoint at a comparison point, to be promoted or stopped."""
    FINISHED = "finished"
    STOPPED = "stopped"
    """Ended early by the scheduler, or because the budget was used up."""
    FAILED = "failed"
    """Ended by an exception, a NaN, or too little memory after every attempt to save some."""
    LOST = "lost"
    """Its process died and it could not be resumed."""


@dataclass(frozen=True)
class TrialRecord(AsJson):
    """The current state and results of one trial."""

    number: int
    """Number of the search trial; a repeat has the number of the trial that it repeats."""
    state: State
    params: Point
    """The sampled settings, by dotted name."""
    seed: int
    role: Role = "search"
    """What the trial is for."""
    value: float | None = None
    """Best validation score so far, of the sweep's metric; for `refit`, which trains on all rows, the mean score that
    its settings had before."""
    metrics: dict[str, float] = field(default_factory=dict)
    """Scores at the best evaluation, by dotted name (`target.validation.accuracy`)."""
    progress: float = 0.0
    """Fraction of the target stage that is done, 0 to 1."""
    seconds: float = 0.0
    """Seconds that it ran, over all its sessions."""
    times: dict[str, dict[str, float]] = field(default_factory=dict)
    """`seconds`, `tokens` and `computed` (tokens with padding) by part, such as `target.train`; without the time of
    processes that died in the middle of a session."""
    notes: list[str] = field(default_factory=list)
    """Reasons why it took more time than necessary, one sentence each."""
    error: str | None = None
    checkpoint: str | None = None
    """Path of its newest checkpoint relative to the sweep's folder, which can be moved and copied."""
    model_saved: bool = False
    """Whether that checkpoint is a model, with the weights of the best evaluation, and not only the state to resume."""
    out_of_time: bool = False
    """Whether it was stopped because the budget of the sweep was used up."""
    changes: Params = field(default_factory=dict)
    """Settings by dotted name that a repeat has instead of those of `params` and of the experiment."""

    @property
    def key(self) -> Key:
        """Return the key that identifies it within its sweep."""
        return key_of(self.number, self.role, self.seed, self.changes)

    @property
    def title(self) -> str:
        """Return its name in texts: `trial 6`, or `trial 6, seed 2` for a repeat."""
        return title_of(self.number, self.role, self.seed, self.changes)

    @property
    def ended(self) -> bool:
        """Return whether it has ended: it is neither running nor paused."""
        return self.state not in (State.RUNNING, State.PAUSED)

    @property
    def has_model(self) -> bool:
        """Return whether it ended with a model: at its end, or at its best evaluation before it was stopped."""
        return self.state is State.FINISHED or (self.state is State.STOPPED and self.model_saved)

    def checkpoint_in(self, folder: Path) -> Path | None:
        """Return the path of its newest checkpoint in a sweep's folder; the checkpoint may have been deleted."""
        return None if self.checkpoint is None else folder / self.checkpoint


@dataclass(frozen=True)
class BudgetLimits(AsJson):
    """The limits of a sweep; None means no limit."""

    trials: int
    minutes: float | None = None
    worker_hours: float | None = None


@dataclass(frozen=True)
class Outcome(AsJson):
    """The results of a sweep, finished or not, as `show` prints them and `--json` writes them last."""

    name: str
    storage: str
    tracking_uri: str
    """Without its password, see `search.redaction.redact`."""
    run_id: str | None
    """Id of the sweep's MLflow run."""
    metric: str
    direction: Direction
    trials: tuple[TrialRecord, ...]
    winner: int | None
    """Number of the search trial whose settings won; None if there is none, or if a baseline won."""
    exported: Key | None
    """Key of the winner's run whose model is exported: that on all rows, else that with the best validation score."""
    winner_config: Params
    """Every setting of the exported run, by dotted name."""
    validation: Score | None
    test: TestScore | None
    comparison: Comparison | None
    seconds: float
    worker_hours: float
    budget: BudgetLimits
    phases: dict[str, float] = field(default_factory=dict)
    """Seconds of the driver by phase: `start`, `search`, `finish`."""
    slots: int = 0
    """The largest number of trials that could run at the same time."""
    slot_seconds: float = 0.0
    """Seconds of all slots during the search, as nodes joined and left; 0 in sweeps of older versions."""
    tail_seconds: float = 0.0
    """The part of them without a trial, after the last trial of the search or of its repeats had started."""
    baselines: tuple[Baseline, ...] = ()
    """The obvious answers, best first; older versions did not compute them."""
    cross_validated: bool = False
    """Whether each repeat was scored on other validation rows, and has the same seed."""
    redraws_rows: bool = False
    """Whether each repeat trained on other rows."""
    winning_baseline: str | None = None
    """Name of the baseline that won: no trial is better."""
    limits: dict[str, float] = field(default_factory=dict)
    """Largest allowed value of each constrained cost; a trial above one cannot win."""
    passed_over: PassedOver | None = None
    """The trial with the best score, if a cheaper one won."""
    gain: Gain | None = None
    """What the search added to the best baseline; None without a baseline or a trial with a score."""
    ranking: Ranking | None = None
    """The ranking of the sources before the search, if `sweep.ranked_sources` asked for one."""
    ranking_check: str | None = None
    """How the ranking agrees with the trials, in words."""
    labels_curve: LabelsCurve | None = None
    """Scores on several numbers of training rows, if `sweep.labels_curve` asked for them."""
    moved: str | None = None
    """What the exported run's target stage began with: what moved from its source, and what was made anew."""
    notes: tuple[str, ...] = ()
    complete: bool = True
    """Whether nothing is left for `resume` to do."""

    def record(self, key: Key) -> TrialRecord:
        """Return the trial with that key.

        Raises:
            KeyError: if there is none.
        """
        for record in self.trials:
            if record.key == key:
                return record
        raise KeyError(key)

    @property
    def winner_as_baseline(self) -> Baseline | None:
        """Return the baseline that won, or None if a trial won."""
        return next((each for each in self.baselines if each.name == self.winning_baseline), None)

    @property
    def searched(self) -> tuple[TrialRecord, ...]:
        """Return the trials of the search."""
        return tuple(record for record in self.trials if record.role == "search")

    @property
    def repeats(self) -> tuple[TrialRecord, ...]:
        """Return the repeats of finalists, and the trials of the labels curve."""
        return tuple(record for record in self.trials if record.role != "search")

    @property
    def cut_short(self) -> str | None:
        """Return how the exported run ended before its last step, as a sentence; None if it ran to its end."""
        run = None if self.exported is None else self.record(self.exported)
        if run is None or run.state is not State.STOPPED:
            return None
        reason = "because the budget was used up" if run.out_of_time else "by the scheduler"
        share = f"{whole_percent(run.progress)} of its training"
        return f"{run.title} was stopped after {share}, {reason}; its model has the weights of its best evaluation"

    def to_json(self) -> dict[str, Any]:
        """Return the outcome as values that `json.dumps` accepts.

        `winner` holds the winner's number and settings; if a baseline won, its name and settings. `trials` and `counts`
        are those of the search; the other trials are under `repeats`. `exported` is a trial or a repeat, given by
        number, role and seed.
        """
        fields: dict[str, Any] = json.loads(_OUTCOME.dump_json(self))
        run = None if self.exported is None else self.record(self.exported)
        number, config, baseline = (fields.pop(name) for name in ("winner", "winner_config", "winning_baseline"))
        winner = baseline and {"number": None, "baseline": baseline, "params": {}, "config": config}
        if number is not None:
            params = next(trial["params"] for trial in fields["trials"] if trial["number"] == number)
            winner = {"number": number, "params": params, "config": config}
        everything = fields.pop("trials")
        return fields | {
            "winner": winner,
            "cut_short": self.cut_short,
            "exported": run and {"number": run.number, "role": run.role, "seed": run.seed},
            "counts": {"total": len(self.searched), **count_states(self.searched)},
            "trials": [trial for trial in everything if trial["role"] == "search"],
            "repeats": [trial for trial in everything if trial["role"] != "search"],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Outcome:
        """Read an outcome that `to_json` wrote, also that of an older version.

        Raises:
            pydantic.ValidationError: if a value is missing or has another type.
        """
        winner = data["winner"] or {"number": None, "config": {}}
        fields = {key: value for key, value in data.items() if key not in ("counts", "repeats", "cut_short")}
        trials, run = [*data["trials"], *data["repeats"]], data["exported"]
        if isinstance(run, int):
            run = [trial for trial in trials if trial["number"] == run][0]
        fields["trials"] = [
            trial | {"number": _number(trial), "checkpoint": relative_checkpoint(trial["checkpoint"])}
            for trial in trials
        ]
        fields["exported"] = run and key_of(_number(run), run["role"], run["seed"])
        fields |= {"winner": winner["number"], "winner_config": winner["config"]}
        return _OUTCOME.validate_python(fields | {"winning_baseline": winner.get("baseline")})


_OUTCOME = TypeAdapter(Outcome)


def _number(trial: Mapping[str, Any]) -> int:
    """Return the number of a search trial, or of the one that a repeat repeats, which older versions store as `of`."""
    number: int = trial["number"] if trial.get("of") is None else trial["of"]
    return number


def count_states(records: Iterable[TrialRecord]) -> dict[str, int]:
    """Return the number of trials by state, also for states without a trial."""
    counts = Counter(record.state for record in records)
    return {state.value: counts[state] for state in State}


def ranked(records: Iterable[TrialRecord], direction: Direction) -> list[TrialRecord]:
    """Return trials best first, by state before score: the score of an unfinished trial is not comparable.

    Of two equal scores, as they occur with few validation rows, the one with the lower loss comes first.
    """
    order = [State.FINISHED, State.RUNNING, State.PAUSED, State.STOPPED, State.LOST, State.FAILED]

    def key(record: TrialRecord) -> tuple[int, bool, float, float, int]:
        scored = record.value is not None and record.value == record.value  # a NaN is no score
        value = direction.cost(record.value or 0.0) if scored else 0.0
        loss = record.metrics.get("target.validation.loss", math.inf)
        return order.index(record.state), not scored, value, loss, record.number

    return sorted(records, key=key)


def best_so_far(records: Sequence[TrialRecord], direction: Direction) -> TrialRecord | None:
    """Return the search trial with the best score so far, finished or not; None while there is no score."""
    scored = [r for r in records if r.role == "search" and r.value is not None and r.value == r.value]
    if not scored:
        return None
    return min(scored, key=lambda r: (direction.cost(r.value or 0.0), r.number))
