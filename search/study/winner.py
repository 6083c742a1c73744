"""Chooses the winner among the finalists; pure functions of records.

The best finalist wins, unless repeats cannot tell it from one that is cheaper to use: then the cheaper one does. This
is the one-standard-error rule (Breiman et al. 1984, Classification and Regression Trees), on paired differences: both
finalists have run with the same seeds, or on the same held-out rows. A 95 % interval would be far too wide: with three
runs it is 4.3 standard errors, and a model that is clearly worse would win.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from search.plan.plan import Plan
from search.record.costs import use_cost
from search.record.records import TrialRecord
from search.record.scores import PassedOver
from search.study.finalists import finalists, rank_finalists, runs_with_model
from search.wording import format_score
from trainable.metrics.metric import Direction


@dataclass(frozen=True)
class Choice:
    """The winner of the search."""

    winner: TrialRecord
    """The search trial whose settings won."""
    best: TrialRecord
    """The one with the best mean score; the same, unless it was passed over."""
    passed_over: PassedOver | None = None
    """Why the best one did not win."""


@dataclass(frozen=True)
class _Behind:
    """How far a finalist is behind the best one, on the seeds that both have run."""

    mean: float
    """Mean difference in the metric's unit; above 0 if it is worse."""
    error: float
    """Standard error of the mean; 0 for a single seed."""
    runs: int

    @property
    def is_tie(self) -> bool:
        return self.runs > 0 and self.mean <= self.error


def choose_winner(plan: Plan, records: Sequence[TrialRecord]) -> Choice | None:
    """Return the winner of the search; None while no finalist has a model."""
    order = rank_finalists(records, finalists(plan, records), plan.settings.direction)
    if not order:
        return None
    best = order[0]
    winner, behind = _cheapest_tie(order, records, plan.settings.direction)
    if winner is best:
        return Choice(best, best)
    return Choice(winner, best, PassedOver(best.number, behind.mean, _sentence(plan, best, winner, behind)))


def _cheapest_tie(
    order: Sequence[TrialRecord], records: Sequence[TrialRecord], direction: Direction
) -> tuple[TrialRecord, _Behind]:
    """Return the finalist with the least work for a text among the ties that are cheaper than the best, else the best.

    Of several with the same costs, the one with the better score is taken.
    """
    best, chosen, distance = order[0], order[0], _Behind(0.0, 0.0, 0)
    lowest = cost_of_best = use_cost(best)
    for other in order[1:]:
        cost, behind = use_cost(other), _behind(best, other, records, direction)
        if cost is None or lowest is None or cost_of_best is None or not behind.is_tie:
            continue
        if cost.is_cheaper_than(cost_of_best) and (cost.work, cost.weights) < (lowest.work, lowest.weights):
            chosen, lowest, distance = other, cost, behind
    return chosen, distance


def _behind(best: TrialRecord, other: TrialRecord, records: Sequence[TrialRecord], direction: Direction) -> _Behind:
    scores, others = (_scores(each, records, direction) for each in (best, other))
    differences = [others[seed] - scores[seed] for seed in scores.keys() & others.keys()]
    if not differences:
        return _Behind(0.0, 0.0, 0)
    runs = len(differences)
    error = statistics.stdev(differences) / math.sqrt(runs) if runs > 1 else 0.0
    return _Behind(statistics.fmean(differences), error, runs)


def _scores(record: TrialRecord, records: Sequence[TrialRecord], direction: Direction) -> dict[int, float]:
    """Return the score of each seed of a search trial's settings; lower is better."""
    return {r.seed: direction.cost(r.value) for r in runs_with_model(records, record.number) if r.value is not None}


def _sentence(plan: Plan, best: TrialRecord, winner: TrialRecord, behind: _Behind) -> str:
    cost, other = use_cost(winner), use_cost(best)
    assert cost is not None  # only a trial with known costs is passed over, and only for such a trial
    assert other is not None
    worse = f"{format_score(behind.mean)} worse" if behind.mean > 0 else "equal"
    runs = (
        f"{behind.runs} runs each, standard error {format_score(behind.error)}" if behind.runs > 1 else "one run each"
    )
    return (
        f"Trial {winner.number} is cheaper to use than trial {best.number}, and these runs do not tell which is "
        f"better: it {cost.saving(other)}, and its {plan.settings.metric} is {worse} ({runs})."
    )
