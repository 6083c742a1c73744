"""Plans the minutes of a sweep: which trials still fit, by a forecast that learns from the pace of earlier trials."""

import statistics
from typing import NamedTuple

from search.engine.schedule.budget import Budget
from search.engine.schedule.slots import Slots
from search.plan.plan import Plan
from search.preflight.forecast import RESERVED, TrialTimes
from search.record.records import State, TrialRecord
from search.record.trial_names import Key
from search.study.finalists import has_run, missing_repeats
from search.study.labels_curve import labels_trials
from search.study.selection import as_record, refit_of, repeat_config
from search.study.sweep_study import SweepStudy
from search.study.trial_settings import trial_config
from search.study.winner import choose_winner
from trainable.settings.config import TrialConfig

REFIT_MARGIN = 1.25
"""Factor on the expected duration of a refit, as a sweep without one loses the rows that were held out."""
REFIT_SECONDS = 5.0
"""Further seconds to leave for a refit: short trials take seconds longer when the machine is busy for a moment."""
LATEST = 8
"""The pace is the median over this many trials, those that began last."""


class _Use(NamedTuple):
    """What a sweep has used at a time."""

    ended: int
    """Trials that have ended."""
    computed: float
    """Seconds that all trials have computed."""
    left: float
    """Seconds until the minutes are used up."""


class _Known(NamedTuple):
    """What one state of the study says about the time; the seconds are those of the forecast, without the pace."""

    pace: float
    repeats: list[float]
    """Seconds of each missing repeat of the best trials so far."""
    refit: float | None
    """Seconds of the refit of the winner so far; None if there is none."""


class Planner:
    """Compares the expected duration of a trial with the minutes that are left.

    Args:
        plan: the experiment.
        study: the record of all trials.
        budget: the limits of the sweep.
        slots: trials that run at a time.
        times: forecast of the duration of a trial; None if no batch was measured, and then nothing is planned.
    """

    def __init__(self, plan: Plan, study: SweepStudy, budget: Budget, slots: Slots, times: TrialTimes | None) -> None:
        self._plan, self._study, self._budget, self._slots, self._times = plan, study, budget, slots, times
        self._after_start = budget.seconds_left()
        self._first_use: _Use | None = None  # when the first trial had ended
        self._expected: dict[Key, tuple[dict[str, float], float]] = {}  # seconds of each source stage and the target
        self._known_of: tuple[list[TrialRecord], _Known] = [], _Known(1.0, [], None)

    @property
    def plans(self) -> bool:
        """Return whether there are minutes to plan, and a forecast."""
        return self._times is not None and self._plan.settings.minutes is not None

    def fits(self, config: TrialConfig, with_source: bool, done: float = 0.0, reserve: float = 0.0) -> bool:
        """Return whether a trial would end within the minutes; True if nothing is planned.

        Args:
            config: the trial's settings.
            with_source: whether it would train its source stages, and not find them in the cache.
            done: fraction of its target stage that is done.
            reserve: seconds to leave after it.
        """
        return not self.plans or self.seconds(config, with_source, done) + reserve <= self._budget.seconds_left()

    def seconds(self, config: TrialConfig, with_source: bool, done: float = 0.0) -> float:
        """Return the expected duration of a trial in seconds, at the pace of the trials so far."""
        return self._at_pace(self._forecast(config, with_source, done))

    def _forecast(self, config: TrialConfig, with_source: bool, done: float = 0.0) -> float:
        assert self._times is not None  # `plans` says so
        stages = config.source_stages() if with_source else ()
        source = sum(self._times.seconds(config, name) for name in stages)
        return source + (1 - done) * self._times.seconds(config, "target")

    def _at_pace(self, *forecasts: float) -> float:
        """Return the expected seconds of trials, one after the other."""
        return self.pace() * sum(forecasts) + len(forecasts) * self.seconds_between_trials()

    def seconds_between_trials(self) -> float:
        """Return the mean seconds of a slot from the end of a trial to the first step of the next; 0 while few ended.

        The start of the slots does not count. An idle slot counts for at most as long as the mean trial.
        """
        now = self._use()
        if self._first_use is None or now.ended - self._first_use.ended < LATEST:
            self._first_use = self._first_use or (now if now.ended else None)
            return 0.0
        trials = now.ended - self._first_use.ended
        computed = (now.computed - self._first_use.computed) / trials
        elapsed = (self._first_use.left - now.left) / trials
        return min(max(0.0, self._slots.now * elapsed - computed), computed)

    def _use(self) -> _Use:
        records = self._study.records
        ended, computed = sum(record.ended for record in records), sum(record.seconds for record in records)
        return _Use(ended, computed, self._budget.seconds_left())

    def pace(self) -> float:
        """Return how many times longer trials took than the forecast says; 1 before the first has ended."""
        return self._known().pace

    def _known(self) -> _Known:
        """Return what the study says now, computed once for each of its states: each proposal is compared with it."""
        records = self._study.records
        if records != self._known_of[0]:
            ratios = [ratio for record in records if (ratio := self._ratio(record)) is not None]
            pace = statistics.median(ratios[-LATEST:]) if ratios else 1.0
            with_source = not self._plan.cross_validates
            repeats = [repeat_config(self._plan, each) for each in missing_repeats(self._plan, records)]
            choice = choose_winner(self._plan, records) if self._plan.refits else None
            refit = self._forecast(repeat_config(self._plan, refit_of(choice.winner)), False) if choice else None
            self._known_of = records, _Known(pace, [self._forecast(each, with_source) for each in repeats], refit)
        return self._known_of[1]

    def _ratio(self, record: TrialRecord) -> float | None:
        """Return a trial's duration relative to the forecast; None if it tells nothing about the pace."""
        if record.state not in (State.FINISHED, State.STOPPED) or not record.progress or not record.times:
            return None
        sources, target = self._expected_seconds(record)
        trained = sum(seconds for name, seconds in sources.items() if f"{name}.train" in record.times)
        expected = record.progress * target + trained
        return sum(part["seconds"] for part in record.times.values()) / expected

    def _expected_seconds(self, record: TrialRecord) -> tuple[dict[str, float], float]:
        assert self._times is not None
        if record.key not in self._expected:
            config = trial_config(self._plan, record)
            sources = {name: self._times.seconds(config, name) for name in config.source_stages()}
            self._expected[record.key] = sources, self._times.seconds(config, "target")
        return self._expected[record.key]

    def reserve_after(self, config: TrialConfig, with_source: bool) -> float:
        """Return the seconds to leave after a search trial: for the refit, for repeats, and for the labels curve.

        The repeats have a share of the minutes at most, and so has the curve. They may be those of this trial, or of
        the best trials so far.
        """
        if not self.plans:
            return 0.0
        # A repeat has another seed, and so source stages of its own, unless it only holds out other rows.
        repeat = self.seconds(config, with_source and not self._plan.cross_validates)
        rounds = -(-self._budget.repeats // self._slots.now)
        of_best = self._repeats_seconds(self._known().repeats)
        # If this trial becomes the best, the refit has its settings.
        refit = max(self.refit_seconds(), self.own_refit_seconds(config, with_source))
        most = RESERVED * self._after_start
        return refit + min(max(rounds * repeat, of_best), most) + min(self._labels_seconds(repeat), most)

    def _repeats_seconds(self, forecasts: list[float]) -> float:
        """Return the expected duration of all repeats that are left, if those of later rounds are as long as these.

        Args:
            forecasts: seconds of each missing repeat of this round.
        """
        begun = sum(record.role in ("confirm", "no_source") for record in self._study.records)
        left = max(len(forecasts), self._budget.repeats - begun)
        return self._at_pace(*forecasts) * left / max(1, len(forecasts)) / self._slots.now

    def own_refit_seconds(self, config: TrialConfig, with_source: bool) -> float:
        """Return the expected duration of a refit with the settings of a trial in seconds; 0 in a sweep without one.

        Args:
            config: the trial's settings.
            with_source: whether the trial itself would train its source stages.
        """
        if not self._plan.refits:
            return 0.0
        return self._with_margin(self.seconds(config, with_source and not self._plan.cross_validates))

    def _labels_seconds(self, of_trial: float) -> float:
        """Return the expected duration of what is left of the labels curve; a source stage is trained once for a seed.

        Args:
            of_trial: seconds of each of its trials, as long as no settings are known.
        """
        records, trials = self._study.records, labels_trials(self._plan, self._study.records)
        if not trials:
            return -(-self._budget.labels // self._slots.now) * of_trial
        missing = [as_record(trial) for trial in trials if not has_run(records, trial)]
        expected = [self._expected_seconds(record) for record in missing]
        sources = {record.seed: sum(of.values()) for record, (of, _) in zip(missing, expected, strict=True) if of}
        targets = [target for _, target in expected]
        return (self._at_pace(*targets) + self.pace() * sum(sources.values())) / self._slots.now

    def refit_seconds(self) -> float:
        """Return the expected duration of the refit of the winner so far in seconds; 0 if there is none."""
        refit = self._known().refit if self.plans else None
        return 0.0 if refit is None else self._with_margin(self._at_pace(refit))

    @staticmethod
    def _with_margin(seconds: float) -> float:
        return REFIT_MARGIN * seconds + REFIT_SECONDS
