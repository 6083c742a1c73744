"""The record of all trials of a sweep: its Optuna studies on disk, with a copy in memory.

Only the driver writes it. Optuna stores a trial's parameters, intermediate values and final state. The trial's user
attributes hold the rest: role, seed, scores, checkpoint, error. A second study holds the repeats of finalists; older
versions stored them among the trials of the search's study.
"""

import math
from collections.abc import Callable, Mapping, Sequence
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
from search.record.checkpoint_paths import relative_checkpoint
from search.record.costs import excesses
from search.record.records import State, TrialRecord
from search.record.trial_names import Key, Role
from search.study.finalists import Repeat
from search.study.study_file import StudyFile
from spaces import Point, Space
from trainable.workers.messages import TrialFailure, TrialReport

START_FROM = "start_from"
"""User attribute of the study: the trials of an older sweep that its sampler started from, as `EarlierTrials`."""
EXHAUSTED = "exhausted"
"""User attribute of the study: the number of search trials after which every point of the space had been tried."""
SLOTS = "slots"
"""User attribute of the study: the largest number of trials that could run at a time in the last session."""
SLOT_SECONDS, TAIL_SECONDS = "slot_seconds", "tail_seconds"
"""User attributes of the study, see `Outcome`."""
_FACTS, _SESSION_FOLDERS = "facts", "sessions"
_TO_OPTUNA = {
    State.FINISHED: TrialState.COMPLETE,
    State.STOPPED: TrialState.PRUNED,
    State.FAILED: TrialState.FAIL,
    State.LOST: TrialState.FAIL,
}


class SweepStudy:
    """The trials of one sweep, read from its Optuna studies and written to them.

    Args:
        file: the SQLite file; created if it is missing.
        settings: the sweep's settings.
        space: the search space.
        base_seed: the seed with which search trials train.

    Raises:
        PlanError: if the file cannot be read as the study of this sweep.
    """

    def __init__(self, file: Path, settings: SweepSettings, space: Space, base_seed: int) -> None:
        self.settings, self.space, self.base_seed = settings, space, base_seed
        self.folder = file.absolute().parent
        """The sweep's folder; stored paths of checkpoints are relative to it."""
        self._exhausted = False
        self._file = StudyFile(file, settings.name, settings.direction)
        self._study = self._file.search
        self._records: dict[Key, TrialRecord] = {}  # in order of their start
        self._open_trials: dict[Key, Trial] = {}  # trials that have not ended, as Optuna objects
        # The search trials as the sampler sees them. Optuna would read each running trial again for every list of them.
        self._searched: dict[Key, FrozenTrial] = {}
        for study in self._file.studies:
            for trial in study.get_trials(deepcopy=False):
                if trial.state is not TrialState.WAITING:
                    self._add_record(study, trial)

    @property
    def records(self) -> list[TrialRecord]:
        """Return all trials in order of their start, those of the search before the repeats."""
        return sorted(self._records.values(), key=lambda record: record.role != "search")

    def record(self, key: Key) -> TrialRecord:
        """Return the current record of a trial."""
        return self._records[key]

    @cached_property
    def _proposer(self) -> Proposer:
        known: EarlierTrials | None = self.user_attr(START_FROM)
        older = known["trials"] if known else []
        return Proposer(self.settings, self.space, [trial_from_json(self.space, trial) for trial in older])

    def begin_search_trial(self, fits: Callable[[Point], bool] | None = None) -> TrialRecord | None:
        """Start the next search trial, at a point not tried before; return None if there is none, or none that fits.

        Args:
            fits: whether there is time for a trial; None means for every trial.
        """
        if self._exhausted:
            return None
        tried = self._search_trials()
        trial = self._proposer.propose(tried, fits)
        if trial is None and fits is not None and not self._proposer.all_tried():
            return None  # there are points left, but no time for them
        if trial is None:
            self._exhausted = True
            self.set_user_attr(EXHAUSTED, len(tried))
            return None
        return self._add_trial(self._study, trial, {"role": "search"})

    def begin_repeat(
        self, repeat: Repeat, score: float | None = None, metrics: Mapping[str, float] | None = None
    ) -> TrialRecord:
        """Begin a repeat of a search trial; a run without a score of its own gets `score`, and `metrics`."""
        trial = running_trial(self.space, repeat.params)
        facts = {"role": repeat.role, "of": repeat.number, "seed": repeat.seed, "changes": dict(repeat.changes)}
        facts[_FACTS] = {"value": score, "metrics": dict(metrics or {})}
        return self._add_trial(self._file.repeats, trial, facts)

    def _add_trial(self, study: optuna.Study, trial: FrozenTrial, attributes: Mapping[str, Any]) -> TrialRecord:
        for name, value in attributes.items():
            trial.set_user_attr(name, value)
        # One transaction: a killed driver leaves a complete trial or none. `Study.add_trial` does this without an id.
        trial._trial_id = study._storage.create_new_trial(study._study_id, template_trial=trial)
        trial.number = study._storage.get_trial_number_from_id(trial._trial_id)
        return self._add_record(study, trial)

    def _add_record(self, study: optuna.Study, trial: FrozenTrial) -> TrialRecord:
        """Add a trial of a study to the records in memory."""
        record = _record(trial, self.base_seed)
        self._records[record.key] = record
        if record.role == "search":
            self._searched[record.key] = trial
        if trial.state is TrialState.RUNNING:
            self._open_trials[record.key] = Trial(study, trial._trial_id)
        return record

    def _search_trials(self, states: tuple[TrialState, ...] | None = None) -> list[FrozenTrial]:
        """Return the search trials, all of them or those in the given states."""
        return [trial for trial in self._searched.values() if states is None or trial.state in states]

    def report(self, key: Key, report: TrialReport, seconds: float = 0.0) -> None:
        """Store a trial's report: the fraction of the target stage that is done, its best value so far, its scores.

        Args:
            key: the key of the trial.
            report: its report, with `times` summed over all its sessions.
            seconds: how long it has run, over all its sessions.
        """
        record = self._records[key]
        value, metrics = report.value, record.metrics
        if report.improved or not report.of_target:
            metrics = metrics | dict(report.metrics)
        elif value is None:
            metrics = metrics | {n: v for n, v in report.metrics.items() if ".zero_shot." in n}
        fraction_done = max(record.progress, report.fraction_done)
        self._records[key] = replace(
            record,
            value=record.value if value is None else value,
            metrics=metrics,
            progress=fraction_done,
            seconds=max(record.seconds, seconds),
            times={part: dict(sums) for part, sums in report.times.items()} or record.times,
            notes=list(dict.fromkeys([*record.notes, *report.notes])),
        )
        # A resumed trial sends the reports after its checkpoint again. Optuna keeps one value for each step.
        if value is not None and math.isfinite(value) and fraction_done > record.progress:
            step = round(100 * fraction_done)
            self._open_trials[key].report(value, step)
            if key in self._searched:
                self._searched[key].intermediate_values[step] = value
        self._store_facts(key)

    def note_failure(self, key: Key, failure: TrialFailure, seconds: float = 0.0) -> None:
        """Store why a trial cannot continue, and its seconds over all sessions; `end` closes it later."""
        record = self._records[key]
        seconds = max(record.seconds, seconds)
        self._records[key] = replace(record, error=failure.error or record.error, seconds=seconds)
        self._store_facts(key)

    def set_checkpoint(self, key: Key, checkpoint: str, is_model: bool = False) -> None:
        """Store the path of a trial's newest checkpoint, relative to the sweep's folder, and whether it is a model."""
        relative = relative_checkpoint(checkpoint.removeprefix(f"{self.folder}/"))
        self._records[key] = replace(self._records[key], checkpoint=relative, model_saved=is_model)
        self._store_facts(key)

    def end(self, key: Key, state: State, error: str | None = None, out_of_time: bool = False) -> None:
        """Close a trial; to Optuna a stopped trial is pruned, and a failed or lost one has failed."""
        before = self._records[key]
        record = replace(before, state=state, error=error or before.error, out_of_time=out_of_time)
        self._records[key] = record
        self._store_facts(key)
        trial = self._open_trials.pop(key)
        if record.role == "search":
            for name, excess in excesses(record.metrics, self.settings.limits).items():
                trial.set_constraint(name, excess)
        value = record.value if state is State.FINISHED else None
        ended = trial.study.tell(trial, value, state=_TO_OPTUNA[state])
        if key in self._searched:
            self._searched[key] = ended

    def _store_facts(self, key: Key) -> None:
        record = self._records[key]
        scores = ("value", "metrics", "progress", "seconds", "times", "notes", "error")
        names = (*scores, "checkpoint", "model_saved", "out_of_time")
        facts = {name: getattr(record, name) for name in names}
        facts |= {"lost": record.state is State.LOST, "paused": record.state is State.PAUSED}
        self._open_trials[key].set_user_attr(_FACTS, facts)

    def pause(self, key: Key) -> None:
        """Mark a trial as paused; Optuna has no such state, so that there it is still running."""
        self._set_state(key, State.PAUSED)

    def unpause(self, key: Key) -> TrialRecord:
        """Mark a paused trial as running again, and return it."""
        return self._set_state(key, State.RUNNING)

    def _set_state(self, key: Key, state: State) -> TrialRecord:
        self._records[key] = replace(self._records[key], state=state)
        self._store_facts(key)
        return self._records[key]

    def values_by_progress(self, *states: TrialState) -> dict[int, dict[int, float]]:
        """Return, by trial number, the values of search trials in these Optuna states, by percent of progress."""
        return {trial.number: trial.intermediate_values for trial in self._search_trials(states)}

    def store_session_folder(self, name: str) -> None:
        """Store the name of the folder, inside the sweep's, to which this session writes checkpoints."""
        self.set_user_attr(_SESSION_FOLDERS, [*self.user_attr(_SESSION_FOLDERS, []), name])

    @property
    def session_folders(self) -> list[str]:
        """Return the names of the sessions' checkpoint folders; of older versions only those with a checkpoint."""
        found = [record.checkpoint.partition("/")[0] for record in self.records if record.checkpoint]
        return list(dict.fromkeys([*self.user_attr(_SESSION_FOLDERS, []), *found]))

    def running(self) -> Sequence[TrialRecord]:
        """Return the trials that run, or that ran when the last session ended."""
        return [record for record in self.records if record.state is State.RUNNING]

    def paused(self) -> Sequence[TrialRecord]:
        """Return the paused trials."""
        return [record for record in self.records if record.state is State.PAUSED]

    def set_user_attr(self, name: str, value: Any) -> None:
        """Store a fact about the sweep in the search's study; JSON values only."""
        self._study.set_user_attr(name, value)

    def user_attr(self, name: str, default: Any = None) -> Any:
        """Return what `set_user_attr` stored under a name, else the default."""
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
        changes=trial.user_attrs.get("changes", {}),
        **{name: facts[name] for name in facts if name not in ("lost", "paused")},
    )
