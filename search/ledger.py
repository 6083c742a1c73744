"""The truth about a sweep's trials: the Optuna study on disk, and the same in memory.

Only the driver writes it. A trial's parameters, intermediate values and final state are Optuna's own; the
rest (role, seed, scores, checkpoint, error) stands in the trial's user attributes.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, Trial, TrialState

from search.knowledge import trial_from_json
from search.proposer import Proposer, running_trial
from search.records import Role, State, TrialRecord, in_sweep
from search.settings import SweepSettings
from search.study_file import open_study
from spaces import Point, Space

START_FROM = "start_from"
"""Under this name the study notes what its sampler knew beforehand: trials of an older sweep, and where from."""
EXHAUSTED = "exhausted"
"""Under this name the study notes after how many trials of the search no point was left to be tried."""
_FACTS, _SESSIONS = "facts", "sessions"
_TO_OPTUNA = {
    State.FINISHED: TrialState.COMPLETE,
    State.STOPPED: TrialState.PRUNED,
    State.FAILED: TrialState.FAIL,
    State.LOST: TrialState.FAIL,
}


class Ledger:
    """The study of one sweep.

    Args:
        file: the SQLite file; made where it is missing.
        settings: the sweep's settings.
        space: what varies.
        base_seed: the seed that search trials train with.

    Raises:
        PlanError: if the file cannot be read as the study of this sweep.
    """

    def __init__(self, file: Path, settings: SweepSettings, space: Space, base_seed: int) -> None:
        self.settings, self.space, self.base_seed = settings, space, base_seed
        self.folder = file.absolute().parent
        """The sweep's folder, from which checkpoints are found."""
        self._exhausted = False
        self._study = open_study(file, settings.name, settings.direction)
        trials = self._study.get_trials(deepcopy=False)
        self._records = {t.number: _record(t, base_seed) for t in trials if t.state is not TrialState.WAITING}
        self._ids = {t.number: t._trial_id for t in trials if t.state is TrialState.RUNNING}
        self._live: dict[int, Trial] = {}

    @property
    def records(self) -> list[TrialRecord]:
        """All trials that have begun, by number."""
        return [self._records[number] for number in sorted(self._records)]

    def record(self, number: int) -> TrialRecord:
        """One trial as it stands."""
        return self._records[number]

    @cached_property
    def _proposer(self) -> Proposer:
        older = self.noted(START_FROM, {"trials": []})["trials"]
        return Proposer(self.settings, self.space, [trial_from_json(self.space, trial) for trial in older])

    def begin(self) -> TrialRecord | None:
        """Start the next trial of the search: a point that was not tried before; None where there is none left."""
        if self._exhausted:
            return None
        searched = [t for t in self._study.get_trials(deepcopy=False) if self._role(t.number) == "search"]
        trial = self._proposer.propose(searched)
        if trial is None:
            self._exhausted = True
            self.note(EXHAUSTED, len(searched))
            return None
        return self._begin(trial, {"role": "search"})

    def begin_again(self, params: Point, role: Role, of: int, seed: int) -> TrialRecord:
        """Start a trial beside the search: a finalist on a further seed, or the comparison without a source."""
        return self._begin(running_trial(self.space, params), {"role": role, "of": of, "seed": seed})

    def _begin(self, trial: FrozenTrial, attributes: Mapping[str, Any]) -> TrialRecord:
        for name, value in attributes.items():
            trial.set_user_attr(name, value)
        self._study.add_trial(trial)  # one transaction: a killed driver leaves the whole trial behind, or nothing
        written = self._study.get_trials(deepcopy=False)[-1]
        self._ids[written.number] = written._trial_id
        self._records[written.number] = _record(written, self.base_seed)
        return self._records[written.number]

    def _role(self, number: int) -> Role | None:
        return self._records[number].role if number in self._records else None

    def report(self, number: int, result: Mapping[str, Any]) -> None:
        """Take in what a trial says: its share of the target stage, its best value so far, its scores."""
        record = self._records[number]
        value = result.get("value")
        metrics = record.metrics
        if result.get("improved") or result.get("stage") == "source":
            metrics = metrics | result["metrics"]
        elif value is None:
            metrics = metrics | {n: v for n, v in result["metrics"].items() if ".zero_shot." in n}
        progress = max(record.progress, result.get("share", 0.0))
        self._records[number] = replace(
            record,
            value=record.value if value is None else value,
            metrics=metrics,
            progress=progress,
            seconds=max(record.seconds, result.get("seconds", 0.0)),
            times=result.get("times") or record.times,
            error=result.get("error", record.error),
        )
        # What a resumed trial says again is known, and Optuna keeps one value a step.
        if value is not None and math.isfinite(value) and progress > record.progress:
            self._trial(number).report(value, step=round(100 * progress))
        self._write(number)

    def keep(self, number: int, checkpoint: str) -> None:
        """Note where a trial's newest checkpoint lies, in the sweep's folder."""
        inside = checkpoint.removeprefix(f"{self.folder}/")
        self._records[number] = replace(self._records[number], checkpoint=in_sweep(inside))
        self._write(number)

    def end(self, number: int, state: State, error: str | None = None) -> None:
        """Close a trial and tell Optuna the truth: stopped is pruned, failed and lost are failures."""
        record = replace(self._records[number], state=state, error=error or self._records[number].error)
        self._records[number] = record
        self._write(number)
        trial = self._trial(number)
        del self._live[number]
        value = record.value if state is State.FINISHED else None
        self._study.tell(trial, value, state=_TO_OPTUNA[state])

    def _trial(self, number: int) -> Trial:
        """Optuna's handle of a running trial, made anew for one of an earlier session."""
        if number not in self._live:
            self._live[number] = Trial(self._study, self._ids[number])
        return self._live[number]

    def _write(self, number: int) -> None:
        record = self._records[number]
        names = ("value", "metrics", "progress", "seconds", "times", "error", "checkpoint")
        facts = {name: getattr(record, name) for name in names}
        facts |= {"lost": record.state is State.LOST, "paused": record.state is State.PAUSED}
        self._trial(number).set_user_attr(_FACTS, facts)

    def pause(self, number: int) -> None:
        """Let a trial wait, with its checkpoint; to Optuna it runs on."""
        self._change(number, State.PAUSED)

    def go_on(self, number: int) -> TrialRecord:
        """End a trial's pause."""
        return self._change(number, State.RUNNING)

    def _change(self, number: int, state: State) -> TrialRecord:
        self._records[number] = replace(self._records[number], state=state)
        self._write(number)
        return self._records[number]

    def history(self, *states: TrialState) -> dict[int, dict[int, float]]:
        """Values by progress, in percent, of the search trials in these states of Optuna's, by number."""
        trials = self._study.get_trials(deepcopy=False, states=states)
        return {t.number: t.intermediate_values for t in trials if self._records[t.number].role == "search"}

    def begin_session(self, name: str) -> None:
        """Note the folder, in the sweep's, to which this session writes checkpoints."""
        self.note(_SESSIONS, [*self.noted(_SESSIONS, []), name])

    @property
    def sessions(self) -> list[str]:
        """Folders with checkpoints that sessions of this sweep wrote; of older versions those that are not empty."""
        found = [record.checkpoint.partition("/")[0] for record in self.records if record.checkpoint]
        return list(dict.fromkeys([*self.noted(_SESSIONS, []), *found]))

    def running(self) -> Sequence[TrialRecord]:
        """Trials that run, or did when the last session ended."""
        return [record for record in self.records if record.state is State.RUNNING]

    def paused(self) -> Sequence[TrialRecord]:
        """Trials that wait."""
        return [record for record in self.records if record.state is State.PAUSED]

    def note(self, name: str, value: Any) -> None:
        """Keep a fact about the sweep as a whole (JSON values only)."""
        self._study.set_user_attr(name, value)

    def noted(self, name: str, default: Any = None) -> Any:
        """A fact that `note` kept."""
        return self._study.user_attrs.get(name, default)


def _record(trial: FrozenTrial, base_seed: int) -> TrialRecord:
    facts = dict(trial.user_attrs.get(_FACTS, {}))
    facts["checkpoint"] = in_sweep(facts.get("checkpoint"))
    states = {TrialState.COMPLETE: State.FINISHED, TrialState.PRUNED: State.STOPPED, TrialState.RUNNING: State.RUNNING}
    state = states.get(trial.state, State.LOST if facts.get("lost") else State.FAILED)
    return TrialRecord(
        number=trial.number,
        state=State.PAUSED if facts.get("paused") else state,
        params=dict(trial.params),
        seed=trial.user_attrs.get("seed", base_seed),
        role=trial.user_attrs.get("role", "search"),
        of=trial.user_attrs.get("of"),
        **{name: facts[name] for name in facts if name not in ("lost", "paused")},
    )
