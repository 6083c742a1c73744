"""The truth about a sweep's trials: its Optuna studies on disk, and the same in memory.

Only the driver writes it. A trial's parameters, intermediate values and final state are Optuna's own; the
rest (role, seed, scores, checkpoint, error) stands in the trial's user attributes. Finalists that run again stand in a
study beside the search's; in sweeps of earlier versions they stand in the search's own, among its trials.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState

from search.plan.settings import SweepSettings
from search.propose.proposer import Proposer, running_trial
from search.propose.sampler_study import trial_from_json
from search.propose.start_from import EarlierTrials
from search.record.records import State, TrialRecord, relative_checkpoint
from search.record.trial_names import Key, Role
from search.study.study_file import StudyFile
from spaces import Point, Space
from trainable.workers.messages import TrialFailure, TrialReport

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


class SweepStudy:
    """The studies of one sweep.

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
        self._file = StudyFile(file, settings.name, settings.direction)
        self._study = self._file.search
        self._records: dict[Key, TrialRecord] = {}  # in the order in which they began
        self._live: dict[Key, Trial] = {}  # Optuna's handles of those that have not ended
        for study in self._file.studies:
            for trial in study.get_trials(deepcopy=False):
                if trial.state is not TrialState.WAITING:
                    self._take_in(study, trial)

    @property
    def records(self) -> list[TrialRecord]:
        """All trials, in the order in which they began: first those of the search, then those beside it."""
        return sorted(self._records.values(), key=lambda record: record.role != "search")

    def record(self, key: Key) -> TrialRecord:
        """One trial as it stands."""
        return self._records[key]

    @cached_property
    def _proposer(self) -> Proposer:
        known: EarlierTrials | None = self.user_attr(START_FROM)
        older = known["trials"] if known else []
        return Proposer(self.settings, self.space, [trial_from_json(self.space, trial) for trial in older])

    def begin(self) -> TrialRecord | None:
        """Start the next trial of the search: a point that was not tried before; None where there is none left."""
        if self._exhausted:
            return None
        searched = self._searched()
        trial = self._proposer.propose(searched)
        if trial is None:
            self._exhausted = True
            self.set_user_attr(EXHAUSTED, len(searched))
            return None
        return self._begin(self._study, trial, {"role": "search"})

    def begin_repeat(self, params: Point, role: Role, of: int, seed: int) -> TrialRecord:
        """Start a trial beside the search: a finalist on a further seed, or the comparison without a source."""
        trial = running_trial(self.space, params)
        return self._begin(self._file.repeats, trial, {"role": role, "of": of, "seed": seed})

    def _begin(self, study: optuna.Study, trial: FrozenTrial, attributes: Mapping[str, Any]) -> TrialRecord:
        for name, value in attributes.items():
            trial.set_user_attr(name, value)
        study.add_trial(trial)  # one transaction: a killed driver leaves the whole trial behind, or nothing
        return self._take_in(study, study.get_trials(deepcopy=False)[-1])

    def _take_in(self, study: optuna.Study, trial: FrozenTrial) -> TrialRecord:
        """Keep in memory what a study has."""
        record = _record(trial, self.base_seed)
        self._records[record.key] = record
        if trial.state is TrialState.RUNNING:
            self._live[record.key] = Trial(study, trial._trial_id)
        return record

    def _searched(self, states: tuple[TrialState, ...] | None = None) -> list[FrozenTrial]:
        """The search's trials as its study has them, all or those in the given states."""
        trials = self._study.get_trials(deepcopy=False, states=states)
        return [trial for trial in trials if trial.number in self._records and _role(trial) == "search"]

    def report(self, key: Key, said: TrialReport, seconds: float = 0.0) -> None:
        """Take in what a trial says: its share of the target stage, its best value so far, its scores.

        Args:
            key: the trial's.
            said: its report, with `times` over all its sessions.
            seconds: how long it has run, over all its sessions.
        """
        record = self._records[key]
        value, metrics = said.value, record.metrics
        if said.improved or not said.of_target:
            metrics = metrics | dict(said.metrics)
        elif value is None:
            metrics = metrics | {n: v for n, v in said.metrics.items() if ".zero_shot." in n}
        progress = max(record.progress, said.share)
        self._records[key] = replace(
            record,
            value=record.value if value is None else value,
            metrics=metrics,
            progress=progress,
            seconds=max(record.seconds, seconds),
            times={part: dict(sums) for part, sums in said.times.items()} or record.times,
            notes=list(dict.fromkeys([*record.notes, *said.notes])),
        )
        # What a resumed trial says again is known, and Optuna keeps one value a step.
        if value is not None and math.isfinite(value) and progress > record.progress:
            self._live[key].report(value, step=round(100 * progress))
        self._write(key)

    def note_failure(self, key: Key, failure: TrialFailure, seconds: float = 0.0) -> None:
        """Take in that a trial cannot go on, after so many seconds over all its sessions; it has not ended yet."""
        record = self._records[key]
        seconds = max(record.seconds, seconds)
        self._records[key] = replace(record, error=failure.error or record.error, seconds=seconds)
        self._write(key)

    def set_checkpoint(self, key: Key, checkpoint: str) -> None:
        """Note where a trial's newest checkpoint lies, in the sweep's folder."""
        inside = checkpoint.removeprefix(f"{self.folder}/")
        self._records[key] = replace(self._records[key], checkpoint=relative_checkpoint(inside))
        self._write(key)

    def end(self, key: Key, state: State, error: str | None = None) -> None:
        """Close a trial and tell Optuna the truth: stopped is pruned, failed and lost are failures."""
        record = replace(self._records[key], state=state, error=error or self._records[key].error)
        self._records[key] = record
        self._write(key)
        trial = self._live.pop(key)
        value = record.value if state is State.FINISHED else None
        trial.study.tell(trial, value, state=_TO_OPTUNA[state])

    def _write(self, key: Key) -> None:
        record = self._records[key]
        names = ("value", "metrics", "progress", "seconds", "times", "notes", "error", "checkpoint")
        facts = {name: getattr(record, name) for name in names}
        facts |= {"lost": record.state is State.LOST, "paused": record.state is State.PAUSED}
        self._live[key].set_user_attr(_FACTS, facts)

    def pause(self, key: Key) -> None:
        """Let a trial wait, with its checkpoint; to Optuna it runs on."""
        self._change(key, State.PAUSED)

    def unpause(self, key: Key) -> TrialRecord:
        """End a trial's pause."""
        return self._change(key, State.RUNNING)

    def _change(self, key: Key, state: State) -> TrialRecord:
        self._records[key] = replace(self._records[key], state=state)
        self._write(key)
        return self._records[key]

    def history(self, *states: TrialState) -> dict[int, dict[int, float]]:
        """Values by progress, in percent, of the search trials in these states of Optuna's, by number."""
        return {trial.number: trial.intermediate_values for trial in self._searched(states)}

    def begin_session(self, name: str) -> None:
        """Note the folder, in the sweep's, to which this session writes checkpoints."""
        self.set_user_attr(_SESSIONS, [*self.user_attr(_SESSIONS, []), name])

    @property
    def sessions(self) -> list[str]:
        """Folders with checkpoints that sessions of this sweep wrote; of older versions those that are not empty."""
        found = [record.checkpoint.partition("/")[0] for record in self.records if record.checkpoint]
        return list(dict.fromkeys([*self.user_attr(_SESSIONS, []), *found]))

    def running(self) -> Sequence[TrialRecord]:
        """Trials that run, or did when the last session ended."""
        return [record for record in self.records if record.state is State.RUNNING]

    def paused(self) -> Sequence[TrialRecord]:
        """Trials that wait."""
        return [record for record in self.records if record.state is State.PAUSED]

    def set_user_attr(self, name: str, value: Any) -> None:
        """Keep a fact about the sweep as a whole (JSON values only)."""
        self._study.set_user_attr(name, value)

    def user_attr(self, name: str, default: Any = None) -> Any:
        """A fact that `note` kept."""
        return self._study.user_attrs.get(name, default)


def _role(trial: FrozenTrial) -> Role:
    role: Role = trial.user_attrs.get("role", "search")
    return role


def _record(trial: FrozenTrial, base_seed: int) -> TrialRecord:
    facts = dict(trial.user_attrs.get(_FACTS, {}))
    facts["checkpoint"] = relative_checkpoint(facts.get("checkpoint"))
    states = {TrialState.COMPLETE: State.FINISHED, TrialState.PRUNED: State.STOPPED, TrialState.RUNNING: State.RUNNING}
    state = states.get(trial.state, State.LOST if facts.get("lost") else State.FAILED)
    return TrialRecord(
        number=trial.user_attrs.get("of", trial.number),
        state=State.PAUSED if facts.get("paused") else state,
        params=dict(trial.params),
        seed=trial.user_attrs.get("seed", base_seed),
        role=_role(trial),
        **{name: facts[name] for name in facts if name not in ("lost", "paused")},
    )
