"""The labels curve as plain values: how the score grows with the number of training rows, with a source and without."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from search.record.scores import AsJson
from search.wording import format_score
from trainable.metrics.metric import Direction


@dataclass(frozen=True)
class Estimate(AsJson):
    """The mean of a validation score, or of a difference of two, over draws of the training rows."""

    mean: float
    low: float | None
    high: float | None
    """95 % interval of the mean from `low` to `high` (Student's t); None for one draw, or if all draws are equal."""
    values: tuple[float, ...]
    """One for each draw that finished, in the order of the draws."""

    @classmethod
    def over(cls, values: Iterable[float]) -> Estimate | None:
        """Return the mean of the values and its interval; None without a value."""
        values = tuple(values)
        if not values:
            return None
        mean = statistics.fmean(values)
        if len(set(values)) == 1:
            return cls(mean, None, None, values)
        from scipy import stats  # takes a second, which the start of a sweep need not wait for

        half = float(stats.t.ppf(0.975, len(values) - 1)) * statistics.stdev(values) / math.sqrt(len(values))
        return cls(mean, mean - half, mean + half, values)


@dataclass(frozen=True)
class LabelsPoint(AsJson):
    """One number of training rows."""

    rows: int
    """Training rows; for a curve with `per_class`, those of each class."""
    with_source: Estimate | None
    without_source: Estimate | None
    difference: Estimate | None
    """The score with the source minus that without, draw by draw, also if lower values are better."""


@dataclass(frozen=True)
class LabelsCurve(AsJson):
    """Scores of the best settings with a source and of the best without, on several numbers of training rows.

    All of them are scored on the same validation rows.
    """

    points: tuple[LabelsPoint, ...]
    """Fewest rows first."""
    draws: int
    """Draws of the training rows that were asked for at each point."""
    per_class: bool
    """Whether the numbers are those of the rows of each class."""
    with_source: int | None
    """Number of the search trial whose settings have the source; None if there is none."""
    without_source: int | None
    """Number of the search trial whose settings have no source, or are run without theirs."""
    sentence: str
    """How many rows the source replaces, in words; empty if the curve does not have both kinds."""


def how_many_rows(points: Sequence[LabelsPoint], metric: str, direction: Direction, per_class: bool) -> str:
    """Say how many rows with the source give the mean score that most rows give without it; empty if unknown.

    Args:
        points: fewest rows first.
        metric: name of the score.
        direction: whether higher scores are better.
        per_class: whether the numbers are those of the rows of each class.
    """
    both = [(p.rows, p.with_source.mean, p.without_source.mean) for p in points if p.with_source and p.without_source]
    if not both:
        return ""
    unit = "rows of each class" if per_class else "training rows"
    most, _, wanted = both[-1]
    enough = [rows for rows, value, _ in both if direction.cost(value) <= direction.cost(wanted)]
    begin = f"Without the source, {most} {unit} give a mean {metric} of {format_score(wanted)}. "
    if not enough:
        best = min((value for _, value, _ in both), key=direction.cost)
        return f"{begin}With it, none of these numbers is enough for that; the best mean is {format_score(best)}."
    if enough[0] == most:
        return f"{begin}With it, fewer are not enough for that."
    return f"{begin}With it, {enough[0]} are enough for that."
