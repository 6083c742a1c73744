"""Chooses the winner among the finalists.

The best finalist wins, unless repeats cannot tell it from one that is cheaper to use: then the cheaper one does. This
is the one-standard-error rule (Breiman et al. 1984, Classification and Regression Trees), on paired differences: both
finalists have run with the same seeds, or on the same held-out rows. A 95 % interval would be far too wide: with three
runs it is 4.3 standard errors, and a model that is clearly worse would win. `sweep.select` sets a margin instead.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from search.plan.plan import Plan
from search.plan.settings import Select
from search.record.costs import CLEARLY, use_cost
from search.record.records import TrialRecord
from search.record.scores import PassedOver
from search.study.finalists import Behind, behind, finalists, rank_finalists
from search.study.sweep_study import SweepStudy
from search.wording import format_score

LATENCIES = "latencies"
"""User attribute of the study: median milliseconds of a single text, or null, by the number of a finalist."""


@dataclass(frozen=True)
class Choice:
    """The winner of the search."""

    winner: TrialRecord
    """The search trial whose settings won."""
    best: TrialRecord
    """The one with the best mean score; the same, unless it was passed over."""
    passed_over: PassedOver | None = None
    """Why the best one did not win."""


def latencies_of(study: SweepStudy) -> dict[int, float]:
    """Return the measured milliseconds of the finalists' models, by the numbers of their search trials."""
    stored: dict[str, float | None] = study.user_attr(LATENCIES, {})
    return {int(number): milliseconds for number, milliseconds in stored.items() if milliseconds is not None}


def choose_winner(
    plan: Plan, records: Sequence[TrialRecord], milliseconds: Mapping[int, float] | None = None
) -> Choice | None:
    """Return the winner of the search; None while no finalist has a model.

    Args:
        plan: the experiment.
        records: all trials.
        milliseconds: see `latencies_of`; a finalist that is missing was not timed, and does not win for its speed.
    """
    order = _ranked_finalists(plan, records)
    if not order:
        return None
    if plan.settings.select is None:
        return _cheapest_tie(plan, order, records)
    return _preferred(plan, plan.settings.select, order, records, milliseconds or {})


def within_margin(plan: Plan, records: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Return the finalists within the margin of `sweep.select`, best first; the best is among them."""
    order, select = _ranked_finalists(plan, records), plan.settings.select
    margin = select.within if select else 0.0
    return [other for other in order if behind(order[0], other, records, plan.settings.direction).is_within(margin)]


def _ranked_finalists(plan: Plan, records: Sequence[TrialRecord]) -> list[TrialRecord]:
    return rank_finalists(records, finalists(plan, records), plan.settings.direction)


def _preferred(
    plan: Plan, select: Select, order: Sequence[TrialRecord], records: Sequence[TrialRecord], times: Mapping[int, float]
) -> Choice:
    """Return the fastest or the smallest finalist within the margin.

    Two times that differ by less than a tenth are the same: then the better score decides.
    """
    weights = {record.number: cost.weights for record in order if (cost := use_cost(record))}
    costs, slack = (times, CLEARLY) if select.prefer == "latency" else (weights, 1.0)
    best, near = order[0], [record for record in within_margin(plan, records) if record.number in costs]
    if best not in near:  # nothing is known of it that others could be compared with
        return Choice(best, best)
    lowest = min(costs[record.number] for record in near)
    winner = next(record for record in near if slack * costs[record.number] <= lowest)
    if winner is best:
        return Choice(best, best)
    ours, theirs = costs[winner.number], costs[best.number]
    gain = f"takes {ours:.3g} ms for a text in place of {theirs:.3g} ms (a single text at a time)"
    if select.prefer == "size":
        gain = f"has {ours / 1e6:.3g} million weights in place of {theirs / 1e6:.3g} million"
    distance = behind(best, winner, records, plan.settings.direction)
    sentence = (
        f"Trial {winner.number} won in place of trial {best.number}, which has the best {plan.settings.metric}: it "
        f"{gain}, and its score is {_worse(distance)}, within sweep.select.within = {select.within:g}."
    )
    return Choice(winner, best, PassedOver(best.number, distance.mean, sentence))


def _cheapest_tie(plan: Plan, order: Sequence[TrialRecord], records: Sequence[TrialRecord]) -> Choice:
    """Return the finalist with the least work for a text among the ties that are cheaper than the best, else the best.

    Of several with the same costs, the one with the better score is taken.
    """
    best, costs = order[0], {record.number: cost for record in order if (cost := use_cost(record))}
    if best.number not in costs:
        return Choice(best, best)
    cheaper = [r for r in order[1:] if r.number in costs and costs[r.number].is_cheaper_than(costs[best.number])]
    ties = [record for record in cheaper if behind(best, record, records, plan.settings.direction).is_tie]
    if not ties:
        return Choice(best, best)
    winner = min(ties, key=lambda record: (costs[record.number].work, costs[record.number].weights))
    distance = behind(best, winner, records, plan.settings.direction)
    sentence = (
        f"Trial {winner.number} is cheaper to use than trial {best.number}, and these runs do not tell which is "
        f"better: it {costs[winner.number].saving(costs[best.number])}, and its {plan.settings.metric} is "
        f"{_worse(distance)}."
    )
    return Choice(winner, best, PassedOver(best.number, distance.mean, sentence))


def _worse(distance: Behind) -> str:
    by = f"{format_score(distance.mean)} worse" if distance.mean > 0 else "equal"
    error = f", standard error {format_score(distance.error)}" if distance.runs > 1 else ""
    return f"{by} ({'one run' if distance.runs == 1 else f'{distance.runs} runs'} each{error})"
