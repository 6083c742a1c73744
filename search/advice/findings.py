"""What a finished sweep says about the next one; without evidence nothing is said."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from search.advice.cheaper import cheaper_settings
from search.advice.finding import Finding
from search.advice.ranges import better_ranges
from search.advice.sweep import Sweep
from search.wording import format_number

FEWEST_TRIALS = 6
"""Finished trials that show whether a search still improves, and where its good values are."""


def findings(sweep: Sweep, lengths: NDArray[np.int64] | None = None) -> list[Finding]:
    """Return what would pay in a next sweep. No two findings change the same setting.

    Args:
        sweep: the sweep.
        lengths: tokens of each training text, see `search.advice.lengths`; None if they are not known.
    """
    cheaper, source = list(cheaper_settings(sweep, lengths)), list(_source(sweep))
    changed = {name for finding in [*cheaper, *source] for name in finding.changes}
    ranges = better_ranges(sweep, changed) if len(sweep.finished) >= FEWEST_TRIALS else ()
    return [*cheaper, *ranges, *_trials(sweep), *_labels(sweep), *source]


def _trials(sweep: Sweep) -> Iterator[Finding]:
    spread, finished = sweep.spread, sweep.finished
    if spread is None or len(finished) < FEWEST_TRIALS or not sweep.outcome.complete:
        return
    last = len(finished) // 3
    early, late = (min(sweep.cost(record) for record in part) for part in (finished[:-last], finished[-last:]))
    added = max(0.0, early - late)
    evidence = (
        f"the last {last} of {len(finished)} finished trials improved the best {sweep.metric} by "
        f"{format_number(added)}, and the standard deviation over repeats is {format_number(spread)}"
    )
    if added > spread:
        command = sweep.folder.command(*sweep.plan.settings.command_for_more(last))
        yield Finding("More trials would probably pay", evidence, f"`{command}`")
    else:
        yield Finding("More trials would add little", evidence)


def _labels(sweep: Sweep) -> Iterator[Finding]:
    """Say whether more training rows pay, by the last two numbers of rows that the sweep measured."""
    curve, cost = sweep.outcome.labels_curve, sweep.outcome.direction.cost
    points = [(point.rows, point.with_source or point.without_source) for point in curve.points] if curve else []
    known = [(rows, each, each.low, each.high) for rows, each in points if each and each.low is not None]
    if len(known) < 2:
        return
    (fewer, before, *_), (most, after, low, high) = known[-2:]
    evidence = (
        f"the mean {sweep.metric} is {format_number(after.mean)} with {most} rows (95 % interval {format_number(low)} "
        f"to {format_number(high)}) and {format_number(before.mean)} with {fewer}"
    )
    pays = cost(before.mean) > max(cost(bound) for bound in (low, high) if bound is not None)
    yield Finding(f"More labels would {'probably pay' if pays else 'add little'}", evidence)


def _source(sweep: Sweep) -> Iterator[Finding]:
    """Say what the comparison with and without a source means for the next sweep."""
    comparison, switches = sweep.outcome.comparison, sweep.plan.source_switches()
    if comparison is None or comparison.low is None or comparison.high is None:
        return
    source = f"source {comparison.source!r}"
    low, high = format_number(comparison.low), format_number(comparison.high)
    interval = f"the 95 % interval of the difference is {low} to {high}"
    if comparison.low <= 0 <= comparison.high:
        more = (
            "Another one may; `transfersweep rank` compares candidates without a trial. More repeats "
            "(sweep.confirm_seeds) make the interval narrower."
        )
        yield Finding(f"The {source} made no clear difference", interval, more)
    elif sweep.outcome.direction.cost(comparison.difference) > 0:
        yield Finding(f"Leave the {source} out", f"it hurt; {interval}", changes=dict.fromkeys(switches, False))
    else:
        # Of several stages, the comparison does not say which one helped.
        searched = len(switches) == 1 and sweep.plan.searches_source()
        yield Finding(f"Keep the {source}", f"it helped; {interval}", changes=dict.fromkeys(switches[:searched], True))
