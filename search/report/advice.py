"""What to do next, each with its evidence; without evidence nothing is said."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from search.record.records import TrialRecord
from search.report.coverage import PADDING_LENGTH, covered
from search.report.numbers import number, percent
from search.report.parts import Section
from search.report.sweep import Sweep

_FEWEST_TRIALS = 6
"""Finished trials that show whether a search still improves."""


def advice_section(sweep: Sweep, lengths: NDArray[np.int64] | None = None) -> Section:
    """Return what would pay in a next sweep.

    Args:
        sweep: the sweep.
        lengths: tokens of each training text, see `coverage.text_lengths`; None if they are not known.
    """
    texts = [*_padding(sweep, lengths), *_frozen_layers(sweep), *_trials(sweep), *_labels(sweep), *_source(sweep)]
    return Section("Advice", texts)


def _spread(sweep: Sweep) -> float | None:
    """Return the standard deviation over repeats below which a difference means nothing; None if it is not known."""
    sd = sweep.outcome.validation.sd if sweep.outcome.validation else None
    return sd or None


def _cost(sweep: Sweep, record: TrialRecord) -> float:
    """Return the score of a finished trial, negated if higher is better."""
    return sweep.outcome.direction.cost(record.value or 0.0)


def _padding(sweep: Sweep, lengths: NDArray[np.int64] | None) -> Iterator[str]:
    if (found := _cheapest(sweep, PADDING_LENGTH, least=True)) is None:
        return
    enough, evidence = found
    share = "" if lengths is None else f" It holds {percent(covered(lengths, enough))} of the training texts whole."
    yield f"A padding length of {enough} was enough: {evidence}.{share}"


def _frozen_layers(sweep: Sweep) -> Iterator[str]:
    if (found := _cheapest(sweep, "target.frozen_layers", least=False)) is not None:
        enough, evidence = found
        yield f"{enough} frozen layers were as good as fewer: {evidence}. Frozen layers are computed once and stored."


def _cheapest(sweep: Sweep, name: str, least: bool) -> tuple[int, str] | None:
    """Return the cheapest value of a setting with a trial as good as the best, and the evidence.

    As good means within the standard deviation over repeats. None if that is not known, or if only the most expensive
    value is as good.
    """
    spread, trials = _spread(sweep), sweep.finished_by(name)
    values = {value for value, _ in trials}
    if spread is None or len(values) < 2:
        return None
    costs = {
        value: min((_cost(sweep, record), record.number) for of, record in trials if of == value) for value in values
    }
    lowest, best = min(costs.values())
    as_good = [value for value, (cost, _) in costs.items() if cost <= lowest + spread]
    enough, most_expensive = (min(as_good), max(values)) if least else (max(as_good), min(values))
    if enough == most_expensive:
        return None
    chosen = sweep.outcome.record(costs[enough][1])
    winner = sweep.outcome.record(best)
    if chosen is winner:
        return enough, f"the best trial of the search, {best}, has it, with {sweep.metric} {number(winner.value)}"
    evidence = (
        f"trial {chosen.number} with it has {sweep.metric} {number(chosen.value)}, and the best one, trial {best} with "
        f"{winner.params[name]}, has {number(winner.value)}; the standard deviation over repeats is {number(spread)}"
    )
    return enough, evidence


def _trials(sweep: Sweep) -> Iterator[str]:
    spread, finished = _spread(sweep), sweep.finished
    if spread is None or len(finished) < _FEWEST_TRIALS or not sweep.outcome.complete:
        return
    last = len(finished) // 3
    early, late = (min(_cost(sweep, r) for r in part) for part in (finished[:-last], finished[-last:]))
    added = max(0.0, early - late)
    evidence = (
        f"the last {last} of {len(finished)} finished trials improved the best {sweep.metric} by {number(added)}, and "
        f"the standard deviation over repeats is {number(spread)}"
    )
    if added > spread:
        yield f"More trials would probably pay: {evidence}. `{sweep.folder.command('extend', '--trials', str(last))}`"
    else:
        yield f"More trials would add little: {evidence}."


def _labels(sweep: Sweep) -> Iterator[str]:
    """Say whether more training rows pay, by the last two numbers of rows that the sweep measured."""
    curve, cost = sweep.outcome.labels_curve, sweep.outcome.direction.cost
    points = [(point.rows, point.with_source or point.without_source) for point in curve.points] if curve else []
    known = [(rows, each, each.low, each.high) for rows, each in points if each and each.low is not None]
    if len(known) < 2:
        return
    (fewer, before, *_), (most, after, low, high) = known[-2:]
    evidence = (
        f"the mean {sweep.metric} is {number(after.mean)} with {most} rows (95 % interval {number(low)} to "
        f"{number(high)}) and {number(before.mean)} with {fewer}"
    )
    pays = cost(before.mean) > max(cost(bound) for bound in (low, high) if bound is not None)
    yield f"More labels would {'probably pay' if pays else 'add little'}: {evidence}."


def _source(sweep: Sweep) -> Iterator[str]:
    comparison = sweep.outcome.comparison
    if comparison is None or comparison.low is None or comparison.high is None:
        return
    interval = f"the 95 % interval of the difference is {number(comparison.low)} to {number(comparison.high)}"
    if comparison.low <= 0 <= comparison.high:
        yield (
            f"The source {comparison.source!r} made no clear difference: {interval}. Another one may; `transfersweep "
            "rank` compares candidates without a trial. More repeats (sweep.confirm_seeds) make the interval narrower."
        )
    elif sweep.outcome.direction.cost(comparison.difference) > 0:
        yield f"Leave the source {comparison.source!r} out: it hurt; {interval}."
    else:
        yield f"Keep the source {comparison.source!r}: it helped; {interval}."
