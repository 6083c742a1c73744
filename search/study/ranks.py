"""The order of a sweep's trials for a person who looks for the best one; a pure function of records."""

from collections.abc import Sequence

from search.plan.plan import Plan
from search.record.records import TrialRecord, ranked
from search.record.trial_names import Key
from search.study.finalists import finalists, rank_finalists

_STEP = 0.01  # between the ranks of two repeats


def finalist_numbers(plan: Plan, records: Sequence[TrialRecord]) -> set[int]:
    """Return the numbers of the search trials that are finalists now, or were repeated as one."""
    repeated = {record.number for record in records if record.role == "confirm"}
    return repeated | {record.number for record in finalists(plan, records)}


def rank_trials(plan: Plan, records: Sequence[TrialRecord], winner: int | None = None) -> dict[Key, float]:
    """Return the ranks of trials and their repeats by their keys, best first.

    The finalists come first, by their mean score over seeds; those that had fewer rounds of repeats follow. Then come
    the other trials of the search, by state and score. A repeat has the rank of its trial and a fraction: 1.01, 1.02,
    ...

    Args:
        plan: the experiment.
        records: all trials.
        winner: number of the search trial that won, which has rank 1; None if there is none.
    """
    left, among = finalists(plan, records), finalist_numbers(plan, records)
    left_numbers = {record.number for record in left}
    searched = [record for record in records if record.role == "search"]
    early = [record for record in searched if record.number in among - left_numbers]
    direction = plan.settings.direction
    best = [*rank_finalists(records, left, direction), *rank_finalists(records, early, direction)]
    order = [*best, *(record for record in ranked(searched, direction) if record.number not in among)]
    order.sort(key=lambda record: record.number != winner)  # a cheaper trial than the first one may have won
    ranks: dict[Key, float] = {}
    for rank, record in enumerate(order, 1):
        repeats = [other for other in records if other.number == record.number and other.role != "search"]
        for place, run in enumerate([record, *repeats]):
            ranks[run.key] = round(rank + place * _STEP, 2)
    return ranks
