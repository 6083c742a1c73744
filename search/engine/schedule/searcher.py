"""The searcher for Ray Tune: takes new trials from the study, and stores in the study how each trial ends.

Ray's own `OptunaSearch` marks stopped trials as complete in Optuna, and a trial with a NaN stays running there.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ray.tune.result import TIME_TOTAL_S
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher

from search.cluster.driver_only import DriverOnly
from search.engine.latency import measure_latencies
from search.engine.schedule.budget import Budget
from search.engine.schedule.pending import PendingTrials
from search.engine.schedule.planner import Planner
from search.engine.schedule.promotion import Promotion
from search.engine.schedule.slots import Slots
from search.engine.schedule.source_keys import SourceKeys, source_keys
from search.plan.plan import Plan
from search.preflight.forecast import TrialTimes
from search.record.costs import LATENCY
from search.record.records import State, TrialRecord
from search.record.times import sum_times
from search.record.trial_names import Key
from search.study.baselines import hold_contest
from search.study.finalists import certain_repeats, has_run
from search.study.labels_curve import missing_labels_trials
from search.study.selection import mean_cut, next_repeats, refit_of, repeat_config
from search.study.sweep_study import SweepStudy
from search.study.trial_settings import trial_config
from trainable.settings.config import TrialConfig
from trainable.workers.messages import VALUE, TrialFailure, TrialReport, TrialTask, read_result

MOST_WAITING = 8
"""Trials that may wait for a source stage in a sweep that searches whether to use one."""


class StudySearcher(DriverOnly, Searcher):
    """Suggests unfinished trials of earlier sessions, the search, repeats of finalists, the refit, the labels curve.

    Args:
        plan: the experiment.
        study: the study; this searcher is its only writer while Tune runs.
        budget: the limits of the sweep.
        slots: trials that run at a time; used to estimate how many more trials fit the budget.
        stop_requested: returns whether to end the sweep early; its trials then stay running in the study, for a resume.
        scheduler: Tune's scheduler; trials that `Promotion` ends are paused, and continue when it allows them.
        times: expected times of trials; if None, the minutes of the sweep are not planned.
        pending: the trials that wait for a process; if None, Tune alone limits them.
    """

    def __init__(
        self,
        plan: Plan,
        study: SweepStudy,
        budget: Budget,
        slots: Slots,
        stop_requested: Callable[[], bool] = lambda: False,
        scheduler: TrialScheduler | None = None,
        times: TrialTimes | None = None,
        pending: PendingTrials | None = None,
    ) -> None:
        super().__init__(metric=VALUE, mode=str(plan.settings.direction))
        self.plan, self.study, self.budget, self.slots = plan, study, budget, slots
        self._stop_requested, self._pending = stop_requested, pending
        self._promotion = scheduler if isinstance(scheduler, Promotion) else None
        self._times, self._planner = times, Planner(plan, study, budget, slots, times)
        self._to_resume = list(study.running())
        self._keys: dict[str, Key] = {}  # Tune's trial id -> key in the study
        self._record_at_start: dict[Key, TrialRecord] = {}  # each trial's record when this session began or resumed it
        self._in_training: dict[Key, SourceKeys] = {}  # source stages that running trials may be training now
        self._trained: set[str] = set()  # keys of the source stages that are trained
        self._uses_rest = False  # whether further search trials use the minutes that nothing else can use
        self._without_room: tuple[int, ...] | None = None  # what had ended when no further trial had room
        self._waiting: list[TrialRecord] = []  # begun, but another trial is training their source stage

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]  # FINISHED is text
        """Return the configuration of the next trial, or None while running trials must end first."""
        if self._stop_requested():
            return Searcher.FINISHED
        if self._pending and not self._pending.may_begin:
            return None
        record = self._next()
        if record is None:
            return None if self.study.running() else Searcher.FINISHED
        self._keys[trial_id], self._record_at_start[record.key] = record.key, record
        if self._pending:
            self._pending.add(trial_id)
        if keys := self._source_keys_of(record):
            self._in_training[record.key] = keys
        return self._task(record).to_config()

    def _next(self) -> TrialRecord | None:
        """Return the next trial whose source stage no other trial is training; a few others wait."""
        if self.budget.spent():
            self._end_what_waits()
            return None
        for record in [record for record in self._waiting if not self._must_wait(record)]:
            self._waiting.remove(record)
            if self._fits(trial_config(self.plan, record)):
                return record
            self.study.end(record.key, State.STOPPED, out_of_time=True)
        # Where some trials have no source, more may wait, so that a trial without one is found for the free slot.
        most_waiting = max(self.slots.now, MOST_WAITING if self.plan.searches_source() else 0)
        while len(self._waiting) < most_waiting:
            begun = self._begin_next()
            if begun is None or not self._must_wait(begun):
                return begun
            self._waiting.append(begun)
        return None

    def _end_what_waits(self) -> None:
        """Stop the begun trials that Tune does not have: it would wait for them when all others have ended."""
        for record in [*self._waiting, *self._to_resume]:
            self.study.end(record.key, State.STOPPED, out_of_time=True)
        self._waiting, self._to_resume = [], []

    def _source_keys_of(self, record: TrialRecord) -> SourceKeys | None:
        """Return the keys of a trial's source stages, or None if it has none."""
        return source_keys(trial_config(self.plan, record))

    def _must_wait(self, record: TrialRecord) -> bool:
        """Return whether a running trial may be training the source stage of this trial, or its first epochs."""
        keys = self._source_keys_of(record)
        if keys is None or keys.stage_key in self._trained:
            return False
        return any(keys.shared_epochs_key == other.shared_epochs_key for other in self._in_training.values())

    def _begin_next(self) -> TrialRecord | None:
        """Continue or begin a trial in the order of the class docstring; return None if there is none now."""
        if self._to_resume:
            return self._to_resume.pop(0)
        if promoted := self._next_promoted():
            return promoted
        if begun := self._begin_search_trial():
            return begun
        if any(r.role == "search" for r in self.study.running()):
            repeats = certain_repeats(self.plan, self.study.records)
        else:
            for record in self.study.paused():  # no further trial can move them into the better half
                self.study.end(record.number, State.STOPPED)
            repeats = next_repeats(self.plan, self.study.records)
        for repeat in repeats:
            # A model that trains on all rows is worth more than a further seed.
            if self._fits(repeat_config(self.plan, repeat), reserve=self._planner.refit_seconds()):
                return self.study.begin_repeat(repeat)
        return self._begin_refit() or self._begin_labels_trial() or self._begin_with_the_rest()

    def _begin_with_the_rest(self) -> TrialRecord | None:
        """Continue the search if nothing but it has run: nothing else fits, or a baseline is the best so far.

        From then on a trial leaves time for its own refit alone.
        """
        if self._uses_rest or not self._planner.plans or any(r.role != "search" for r in self.study.records):
            return None
        self._uses_rest, self._without_room = True, None
        return self._begin_search_trial()

    def _begin_refit(self) -> TrialRecord | None:
        """Begin the last run, the winner on all rows; None if there is none, or no time for it, or a baseline won."""
        if self.study.running() or not self.plan.refits:
            return None
        measure_latencies(self.plan, self.study)
        contest = hold_contest(self.plan, self.study, refit_follows=True)
        if contest.trial is None or contest.score is None or contest.winning_baseline:
            return None
        refit = refit_of(contest.trial)
        if has_run(self.study.records, refit) or not self._fits(repeat_config(self.plan, refit), reserve=0.0):
            return None
        metrics = mean_cut(self.study.records, refit.number)
        return self.study.begin_repeat(refit, contest.score.mean, metrics)

    def _begin_labels_trial(self) -> TrialRecord | None:
        """Begin a trial of the labels curve, or return None if none is left, or none for which there is time."""
        missing = missing_labels_trials(self.plan, self.study.records)
        fitting = (trial for trial in missing if self._fits(repeat_config(self.plan, trial), reserve=0.0))
        trial = next(fitting, None)
        return None if trial is None else self.study.begin_repeat(trial)

    def _fits(self, config: TrialConfig, done: float = 0.0, reserve: float | None = None) -> bool:
        """Return whether a trial fits the minutes that are left, see `Planner.fits`.

        Without `reserve` it leaves the time that the end of the sweep needs, see `Planner.reserve_after`, or the time
        of a refit alone once nothing else fits.
        """
        if not self._planner.plans or self._times is None:
            return True
        keys = source_keys(config)
        trained = keys is None or keys.stage_key in self._trained or self._times.sources_are_cached(config)
        if reserve is None:
            of = self._planner.own_refit_seconds if self._uses_rest else self._planner.reserve_after
            reserve = of(config, not trained)
        return self._planner.fits(config, not trained, done, reserve)

    def _begin_search_trial(self) -> TrialRecord | None:
        """Begin the next trial of the search, or return None if the budget has no room for one."""
        if not self.budget.allows_new_trial(self.slots.now, self._planner.plans):
            return None
        if not self._planner.plans:
            return self.study.begin_search_trial()
        # Only the end of a trial or of a source stage, or a slot, can make room for one: the time left becomes shorter.
        now = len(self.study.records), len(self.study.running()), len(self._trained), self.slots.now
        if now == self._without_room:
            return None
        begun = self.study.begin_search_trial(lambda point: self._fits(self.plan.config(point)))
        self._without_room = None if begun else now
        return begun

    def _next_promoted(self) -> TrialRecord | None:
        """Return the paused trial to continue, or None if none may continue."""
        if self._promotion is None or not self.budget.allows_training(self.slots.now, self._planner.plans):
            return None
        paused = [r.number for r in self.study.paused() if self._fits(trial_config(self.plan, r), done=r.progress)]
        number = self._promotion.most_promising(paused)
        return None if number is None else self.study.unpause(number)

    def _pause(self, promotion: Promotion, number: int) -> None:
        """Pause a trial; if too many are paused, stop the least promising of them."""
        self.study.pause(number)
        paused = [record.number for record in self.study.paused()]
        if len(paused) > self.plan.settings.keep_paused:
            self.study.end(promotion.least_promising(paused), State.STOPPED)

    def _task(self, record: TrialRecord) -> TrialTask:
        is_compared = record.role == "search"
        settings = trial_config(self.plan, record).model_dump(mode="json", by_alias=True)
        settings["target"]["evaluate_at"] = self.plan.settings.compared_at if is_compared else ()
        settings["target"]["measure_latency"] |= is_compared and LATENCY in self.plan.settings.limits
        settings["micro_batches"] = max(settings["micro_batches"], self.plan.settings.workers_per_trial)
        checkpoint = record.checkpoint_in(self.study.folder)
        resume = str(checkpoint) if checkpoint else None
        seconds, deadline = self.plan.settings.checkpoint_seconds, self.budget.deadline()
        return TrialTask(record.key, settings, is_compared, resume, seconds, deadline)

    def on_trial_result(self, trial_id: str, result: Mapping[str, Any]) -> None:
        """Store a report or failure, and how long the trial has run."""
        self._store(self._keys[trial_id], read_result(result), result.get(TIME_TOTAL_S, 0.0))

    def _store(self, key: Key, message: TrialReport | TrialFailure | None, seconds: float) -> None:
        """Store a message in the study; `seconds` count from the start of this session's part of the trial."""
        before = self._record_at_start[key]
        seconds += before.seconds
        if isinstance(message, TrialFailure):
            self.study.note_failure(key, message, seconds)
        elif message:
            if message.source_ready and (keys := self._in_training.get(key)) and message.stage == keys.last:
                del self._in_training[key]
                self._trained.add(keys.stage_key)
            self.study.report(key, replace(message, times=sum_times([before.times, message.times])), seconds)

    def on_trial_complete(self, trial_id: str, result: Mapping[str, Any] | None = None, error: bool = False) -> None:
        """Store how a trial ended: finished, failed, stopped, paused, or lost with its process."""
        key = self._keys[trial_id]
        self._in_training.pop(key, None)
        message = read_result(result or {})
        if result and not error:
            self.on_trial_result(trial_id, result)
        if error:
            reason = self.study.record(key).error
            self.study.end(
                key, State.LOST, reason or "its process died repeatedly; see `ray-logs` in the sweep's folder"
            )
        elif isinstance(message, TrialFailure) and message.error:
            self.study.end(key, State.FAILED, message.error)
        elif isinstance(message, TrialReport) and message.finished:
            self.study.end(key, State.FINISHED)
        elif isinstance(message, TrialReport) and message.cut:
            self.study.end(key, State.STOPPED, out_of_time=True)
        elif self._stop_requested():
            pass  # a resume continues it
        elif self.budget.spent():
            self.study.end(key, State.STOPPED, out_of_time=True)
        elif isinstance(key, int) and self._promotion is not None and not self._promotion.may_continue(key):
            self._pause(self._promotion, key)
        else:
            self.study.end(key, State.STOPPED)
        self.budget.save()

    def save(self, checkpoint_path: str) -> None:
        """Do nothing: the study is already on disk."""

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing: the study is already on disk."""
