"""The finalists of a sweep: settings that train again before the winner is chosen; pure functions of records.

With few held-out rows, chance decides which scores are best. Then many finalists train again with other rows held out,
the better half of them again with others, and so on: successive halving over folds.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import product

from search.plan.plan import Plan
from search.record.costs import COSTS, meets, use_cost
from search.record.records import State, TrialRecord, ranked
from search.record.trial_names import Key, Role, key_of
from search.study.trial_settings import uses_source
from spaces import Point
from trainable.metrics.metric import Direction
from trainable.settings.values import Params

_ROUNDING = 1e-9
"""The difference of 0.9 and 0.89 is a little more than 0.01, and yet within that margin."""


@dataclass(frozen=True)
class Repeat:
    """A finalist to run again: with another seed, without its source, on all rows, or on another number of rows."""

    role: Role
    number: int
    """Number of the search trial to repeat."""
    seed: int
    params: Point
    changes: Params = field(default_factory=dict)
    """Settings by dotted name that it has instead of those of `params` and of the experiment."""

    @property
    def key(self) -> Key:
        """Return the key of its trial."""
        return key_of(self.number, self.role, self.seed, self.changes)


def finalists(plan: Plan, records: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Return the search trials whose settings can still win.

    These are the best finished search trials within `sweep.constraints`, at most `Plan.finalists_in(1)`, and after each
    round of repeats the best of these. If the search chooses whether to use a source, the best trial with a source and
    the best without are finalists too; with `sweep.select`, so is the cheapest one within its margin. A trial that was
    stopped is a finalist too, if its best score is above those of all finished trials and its model was saved, or if it
    is the best of its kind. It runs again to its end if there is time.
    """
    return _finalists_and_repeats(plan, records)[0]


def missing_repeats(plan: Plan, records: Sequence[TrialRecord]) -> list[Repeat]:
    """Return the repeats of finalists that have not begun; those of a smaller round follow when they can be chosen."""
    return [repeat for repeat in _finalists_and_repeats(plan, records)[1] if not has_run(records, repeat)]


def certain_repeats(plan: Plan, records: Sequence[TrialRecord]) -> list[Repeat]:
    """Return the missing repeats that follow whatever the search trials that have not ended will score.

    They are those that are missing even if each of these trials becomes better than all others.
    """
    best = -plan.settings.direction.cost(math.inf)
    open_ = {r.number for r in records if r.role == "search" and not r.ended}
    free = dict.fromkeys(COSTS.values(), 0.0)  # a cost that is not known yet may be within every limit
    ended = [
        replace(r, state=State.FINISHED, value=best, metrics={**free, **r.metrics}) if r.key in open_ else r
        for r in records
    ]
    return [repeat for repeat in missing_repeats(plan, ended) if repeat.number not in open_]


def _finalists_and_repeats(plan: Plan, records: Sequence[TrialRecord]) -> tuple[list[TrialRecord], list[Repeat]]:
    left, repeats = _first_finalists(plan, records), list[Repeat]()
    for number in range(1, plan.settings.confirm_seeds + 1):
        if number > 1 and plan.finalists_in(number) < plan.finalists_in(number - 1):
            if not all(_has_ended(records, repeat) for repeat in repeats):
                break
            order = rank_finalists(records, left, plan.settings.direction)
            left = _with_both_kinds(plan, order[: plan.finalists_in(number)], order)
            left = _with_cheapest(plan, left, order, records)
        for record in left:
            # A trial that was stopped runs its own seed again, to its end.
            own = [record.seed] if number == 1 and record.state is not State.FINISHED else []
            seeds = [*own, plan.base.get("seed", 0) + number]
            repeats += [Repeat("confirm", record.number, seed, record.params) for seed in seeds]
    # One finalist after another, so that the source stages of several seeds are trained side by side.
    ranks = {record.number: rank for rank, record in enumerate(left)}
    return left, sorted(repeats, key=lambda repeat: ranks.get(repeat.number, len(ranks)))


def rank_finalists(
    records: Sequence[TrialRecord], candidates: Sequence[TrialRecord], direction: Direction
) -> list[TrialRecord]:
    """Return those of the candidates that have a model, best first: by mean score, then by mean loss.

    Two are compared on the seeds that both have run, as each seed may hold out other rows. Those with the most runs are
    ranked first, and each further one is placed before the first that it beats.
    """
    runs = {r.number: runs_with_model(records, r.number) for r in candidates}

    def means(number: int, other: int) -> tuple[float, float]:
        shared = {r.seed for r in runs[number]} & {r.seed for r in runs[other]}
        compared = [r for r in runs[number] if r.seed in shared] or runs[number]
        losses = [r.metrics.get("target.validation.loss", 0.0) for r in compared]
        return direction.cost(statistics.fmean(r.value or 0.0 for r in compared)), statistics.fmean(losses)

    order: list[TrialRecord] = []
    ready = [r for r in candidates if runs[r.number]]
    for new in sorted(ready, key=lambda r: (-len(runs[r.number]), means(r.number, r.number), r.number)):
        beaten = (i for i, r in enumerate(order) if means(new.number, r.number) < means(r.number, new.number))
        order.insert(next(beaten, len(order)), new)
    return order


@dataclass(frozen=True)
class Behind:
    """How far settings are behind others, on the seeds that both have run."""

    mean: float
    """Mean difference in the metric's unit; above 0 if they are worse."""
    error: float
    """Standard error of the mean; 0 for a single seed."""
    runs: int

    @property
    def is_tie(self) -> bool:
        """Return whether they are not worse by more than a standard error."""
        return self.is_within(self.error)

    def is_within(self, margin: float) -> bool:
        """Return whether they are not worse by more than that."""
        return self.runs > 0 and self.mean <= margin + _ROUNDING


def behind(best: TrialRecord, other: TrialRecord, records: Sequence[TrialRecord], direction: Direction) -> Behind:
    """Return how far the settings of a search trial are behind those of another one."""
    scores, others = (_costs(each, records, direction) for each in (best, other))
    differences = [others[seed] - scores[seed] for seed in scores.keys() & others.keys()]
    if not differences:
        return Behind(0.0, 0.0, 0)
    runs = len(differences)
    error = statistics.stdev(differences) / math.sqrt(runs) if runs > 1 else 0.0
    return Behind(statistics.fmean(differences), error, runs)


def _costs(record: TrialRecord, records: Sequence[TrialRecord], direction: Direction) -> dict[int, float]:
    """Return the score of each seed of a search trial's settings; lower is better."""
    return {r.seed: direction.cost(r.value) for r in runs_with_model(records, record.number) if r.value is not None}


def has_run(records: Sequence[TrialRecord], repeat: Repeat) -> bool:
    """Return whether a repeat has begun."""
    return any(r.key == repeat.key for r in records)


def finished_runs(records: Sequence[TrialRecord], number: int, role: Role = "confirm") -> list[TrialRecord]:
    """Return the finished runs of a search trial's settings, one for each seed.

    For the role `confirm` the search trial itself comes first.
    """
    searched = [r for r in records if r.role == "search" and role == "confirm"]
    runs = [*searched, *(r for r in records if r.role == role)]
    return [r for r in runs if r.number == number and r.state is State.FINISHED]


def runs_with_model(records: Sequence[TrialRecord], number: int, role: Role = "confirm") -> list[TrialRecord]:
    """Return the finished runs of a search trial's settings; without one, the trial itself if it has a model."""
    stopped = [r for r in records if r.key == number and r.has_model and role == "confirm"]
    return finished_runs(records, number, role) or stopped


def _first_finalists(plan: Plan, records: Sequence[TrialRecord]) -> list[TrialRecord]:
    searched = [r for r in records if r.role == "search"]  # so that later repeats do not change this round
    allowed = [r for r in searched if meets(r.metrics, plan.settings.limits)]
    scored = [r for r in ranked(allowed, plan.settings.direction) if r.value is not None]
    chosen = [r for r in scored if r.state is State.FINISHED][: plan.finalists_in(1)]
    cost = plan.settings.direction.cost
    ended = sorted(
        (r for r in scored if r.state in (State.FINISHED, State.STOPPED)), key=lambda r: cost(r.value or 0.0)
    )
    if ended and ended[0].has_model and ended[0] not in chosen:
        chosen.append(ended[0])
    return _with_cheapest(plan, _with_both_kinds(plan, chosen, ended), ended, searched)


def _with_both_kinds(plan: Plan, chosen: list[TrialRecord], candidates: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Add the best with and the best without a source, or a stage of a chain, where the search switches it."""
    any_source = [None] if plan.searches_source() else []
    for stage, kind in product([*any_source, *plan.searched_stages()], (True, False)):
        best = next((r for r in candidates if uses_source(plan, r, stage) is kind), None)
        if best is not None and best not in chosen:
            chosen = [*chosen, best]
    return chosen


def _with_cheapest(
    plan: Plan, chosen: list[TrialRecord], candidates: Sequence[TrialRecord], records: Sequence[TrialRecord]
) -> list[TrialRecord]:
    """Add the candidate that costs its users the least among those within the margin of `sweep.select`."""
    select, direction = plan.settings.select, plan.settings.direction
    if select is None or not chosen:
        return chosen
    costs = {r.number: cost for r in candidates if r.state is State.FINISHED and (cost := use_cost(r))}
    near = [
        r for r in candidates if r.number in costs and behind(chosen[0], r, records, direction).is_within(select.within)
    ]
    by_size = select.prefer == "size"
    cheapest = min(near, key=lambda r: costs[r.number].weights if by_size else costs[r.number].work, default=None)
    return chosen if cheapest is None or cheapest in chosen else [*chosen, cheapest]


def _has_ended(records: Sequence[TrialRecord], repeat: Repeat) -> bool:
    return any(r.key == repeat.key and r.ended for r in records)
