"""The searcher that Ray Tune asks: proposes from the study, and tells the study the truth about every trial.

Ray's own `OptunaSearch` tells Optuna that a stopped trial is complete and leaves a NaN running for ever.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from ray.tune.result import TIME_TOTAL_S
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher

from search.engine.budget import Budget
from search.engine.driver_only import DriverOnly
from search.engine.promotion import Promotion
from search.plan.plan import Plan
from search.record.records import State, TrialRecord
from search.record.times import sum_times
from search.record.trial_names import Key
from search.study.selection import next_repeats, trial_config
from search.study.sweep_study import SweepStudy
from trainable.stages.epoch_checkpoints import shared_settings
from trainable.workers.messages import VALUE, TrialFailure, TrialReport, TrialTask, read_result


class _Need(NamedTuple):
    """What decides a trial's source stage, as text."""

    stage: str
    trunk: str
    """The same for stages that share their first epochs: they are not trained at the same time."""


class StudySearcher(DriverOnly, Searcher):
    """First the trials that an earlier session left unfinished, then the search, then the finalists again.

    Args:
        plan: the experiment.
        study: the study; this searcher is its only writer while Tune runs.
        budget: what may be spent.
        slots: trials that run at a time, for judging what is left of the budget.
        stop_requested: whether the sweep is to end; trials that it cuts off stay running, for a resume.
        scheduler: Tune's; where it promotes, trials that it ends wait, and go on when it lets them.
    """

    def __init__(
        self,
        plan: Plan,
        study: SweepStudy,
        budget: Budget,
        slots: int,
        stop_requested: Callable[[], bool] = lambda: False,
        scheduler: TrialScheduler | None = None,
    ) -> None:
        super().__init__(metric=VALUE, mode=str(plan.settings.direction))
        self.plan, self.study, self.budget, self.slots = plan, study, budget, slots
        self._stop_requested = stop_requested
        self._promotion = scheduler if isinstance(scheduler, Promotion) else None
        self._to_resume = list(study.running())
        self._keys: dict[str, Key] = {}  # of the trials, by Tune's ids
        self._before: dict[Key, TrialRecord] = {}  # how trials stood when they began, or went on
        self._in_training: dict[Key, _Need] = {}  # trial -> the source stage that it may be training now
        self._trained: set[str] = set()  # source stages that some trial has left behind
        self._put_off: list[TrialRecord] = []  # begun, but another trial is training their source

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]  # FINISHED is text
        """The configuration of the next trial; None while running trials must end first."""
        if self._stop_requested():
            return Searcher.FINISHED
        record = self._next()
        if record is None:
            return None if self.study.running() else Searcher.FINISHED
        self._keys[trial_id], self._before[record.key] = record.key, record
        if need := self._need_of(record):
            self._in_training[record.key] = need
        return self._task(record).to_config()

    def _next(self) -> TrialRecord | None:
        """The next trial that need not wait for another one to train its source; up to a slot's worth are put off."""
        if self.budget.spent():
            return None
        for record in self._put_off:
            if not self._must_wait(record):
                self._put_off.remove(record)
                return record
        while len(self._put_off) < self.slots:
            begun = self._begin()
            if begun is None or not self._must_wait(begun):
                return begun
            self._put_off.append(begun)
        return None

    def _need_of(self, record: TrialRecord) -> _Need | None:
        """The source stage that a trial needs, if it has one."""
        config = trial_config(self.plan, record)
        if config.source is None:
            return None
        stage, trunk = (
            f"{config.encoder} {config.seed} {source.model_dump_json()}"
            for source in (config.source, shared_settings(config.source))
        )
        return _Need(stage, trunk)

    def _must_wait(self, record: TrialRecord) -> bool:
        """Whether a running trial may just be training the source stage that this one needs, or its first epochs."""
        need = self._need_of(record)
        if need is None or need.stage in self._trained:
            return False
        return any(need.trunk == other.trunk for other in self._in_training.values())

    def _begin(self) -> TrialRecord | None:
        if self._to_resume:
            return self._to_resume.pop(0)
        if promoted := self._promoted():
            return promoted
        if self.budget.allows_new_trial(self.slots) and (begun := self.study.begin()):
            return begun
        if any(r.role == "search" for r in self.study.running()):
            return None
        for record in self.study.paused():  # nobody is left who could make room above them
            self.study.end(record.number, State.STOPPED)
        again = next(iter(next_repeats(self.plan, self.study.records)), None)
        return self.study.begin_repeat(again.params, again.role, again.number, again.seed) if again else None

    def _promoted(self) -> TrialRecord | None:
        """The paused trial to go on with, if one may."""
        if self._promotion is None or not self.budget.allows_training(self.slots):
            return None
        number = self._promotion.most_promising(record.number for record in self.study.paused())
        return None if number is None else self.study.unpause(number)

    def _pause(self, promotion: Promotion, number: int) -> None:
        """Let a trial wait; where too many do, that is the end of the least promising one."""
        self.study.pause(number)
        waiting = [record.number for record in self.study.paused()]
        if len(waiting) > self.plan.settings.keep_paused:
            self.study.end(promotion.least_promising(waiting), State.STOPPED)

    def _task(self, record: TrialRecord) -> TrialTask:
        compare = record.role == "search"
        settings = trial_config(self.plan, record).model_dump(mode="json", by_alias=True)
        settings["target"]["evaluate_at"] = self.plan.settings.compared_at if compare else ()
        settings["micro_batches"] = max(settings["micro_batches"], self.plan.settings.workers_per_trial)
        checkpoint = record.checkpoint_in(self.study.folder)
        resume = str(checkpoint) if checkpoint else None
        return TrialTask(record.key, settings, compare, resume, self.plan.settings.checkpoint_seconds)

    def on_trial_result(self, trial_id: str, result: Mapping[str, Any]) -> None:
        """What a trial says, and how long it has run."""
        self._hear(self._keys[trial_id], read_result(result), result.get(TIME_TOTAL_S, 0.0))

    def _hear(self, key: Key, said: TrialReport | TrialFailure | None, seconds: float) -> None:
        """Tell the study what a trial has said after so many seconds of this session."""
        before = self._before[key]
        seconds += before.seconds
        if isinstance(said, TrialFailure):
            self.study.note_failure(key, said, seconds)
        elif said:
            if said.source_ready and (need := self._in_training.pop(key, None)):
                self._trained.add(need.stage)
            self.study.report(key, replace(said, times=sum_times([before.times, said.times])), seconds)

    def on_trial_complete(self, trial_id: str, result: Mapping[str, Any] | None = None, error: bool = False) -> None:
        """The end of a trial: finished, failed by its own word, stopped by the scheduler, or lost with its process."""
        key = self._keys[trial_id]
        self._in_training.pop(key, None)
        said = read_result(result or {})
        if result and not error:
            self.on_trial_result(trial_id, result)
        if error:
            known = self.study.record(key).error
            self.study.end(key, State.LOST, known or "its process died, again and again; see `ray-logs`")
        elif isinstance(said, TrialFailure) and said.error:
            self.study.end(key, State.FAILED, said.error)
        elif isinstance(said, TrialReport) and said.finished:
            self.study.end(key, State.FINISHED)
        elif self._stop_requested():
            pass  # a resume goes on with it
        elif isinstance(key, int) and self._promotion is not None and not self._promotion.may_continue(key):
            self._pause(self._promotion, key)
        else:
            self.study.end(key, State.STOPPED)
        self.budget.save()

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the study is on disk already."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore: the study is on disk already."""
