"""Settings that cost time, where a cheaper value was as good: padding length and frozen layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from search.advice.finding import Changes, Finding
from search.advice.lengths import PADDING_LENGTH, covered
from search.advice.sweep import Sweep
from search.wording import format_number, percent
from spaces import Int

_FROZEN_LAYERS = "target.frozen_layers"


def cheaper_settings(sweep: Sweep, lengths: NDArray[np.int64] | None) -> Iterator[Finding]:
    """Yield the shortest padding and the most frozen layers with a trial as good as the best.

    As good means within the standard deviation over repeats. Nothing is said if that is not known, or if only the most
    expensive value is as good.

    Args:
        sweep: the sweep.
        lengths: tokens of each training text, see `search.advice.lengths`; None if they are not known.
    """
    if found := _cheapest(sweep, PADDING_LENGTH, least=True):
        enough, evidence, changes = found
        share = "" if lengths is None else f"It holds {percent(covered(lengths, enough))} of the training texts whole."
        yield Finding(f"A padding length of {enough} was enough", evidence, share, changes)
    if found := _cheapest(sweep, _FROZEN_LAYERS, least=False):
        enough, evidence, changes = found
        more = "Frozen layers are computed once and stored."
        yield Finding(f"{enough} frozen layers were as good as fewer", evidence, more, changes)


def _cheapest(sweep: Sweep, name: str, least: bool) -> tuple[int, str, Changes] | None:
    """Return the cheapest value as good as the best, the evidence, and the domain that is left to search."""
    spread, trials = sweep.spread, sweep.finished_by(name)
    values = {value for value, _ in trials}
    if spread is None or len(values) < 2:
        return None
    costs = {
        value: min((sweep.cost(record), record.number) for of, record in trials if of == value) for value in values
    }
    lowest, best = min(costs.values())
    as_good = [value for value, (cost, _) in costs.items() if cost <= lowest + spread]
    enough, most_expensive = (min(as_good), max(values)) if least else (max(as_good), min(values))
    if enough == most_expensive:
        return None
    changes = _left_to_search(sweep, name, costs, enough, least)
    chosen = sweep.outcome.record(costs[enough][1])
    winner = sweep.outcome.record(best)
    if chosen is winner:
        has = f"the best trial of the search, {best}, has it, with {sweep.metric} {format_number(winner.value)}"
        return enough, has, changes
    evidence = (
        f"trial {chosen.number} with it has {sweep.metric} {format_number(chosen.value)}, and the best one, trial "
        f"{best} with {winner.params[name]}, has {format_number(winner.value)}; the standard deviation over repeats is "
        f"{format_number(spread)}"
    )
    return enough, evidence, changes


def _left_to_search(sweep: Sweep, name: str, tried: Mapping[int, object], enough: int, least: bool) -> Changes:
    """Return a setting with its values from the cheaper one that was tried and was worse, to the one that was enough.

    Values that are cheaper than that one, or more expensive than enough, are left out.
    """
    domain = sweep.plan.space.dimensions[name].domain
    if not isinstance(domain, Int) or domain.log:
        return {name: enough}
    if least:
        worse = [value + domain.step for value in tried if value < enough]
        low, high = max([domain.low, *worse]), enough
    else:
        worse = [value - domain.step for value in tried if value > enough]
        low, high = enough, min([domain.high, *worse])
    return {name: replace(domain, low=low, high=high) if low < high else enough}
