"""Decides from validation scores over seeds whether the source stage helped."""

from collections.abc import Sequence

from search.record.scores import Comparison, Score
from search.wording import format_score
from trainable.metrics.metric import Direction


def compare(
    with_values: Sequence[float],
    without_values: Sequence[float],
    metric: str,
    direction: Direction,
    source_name: str,
    redrawn: bool = False,
) -> Comparison:
    """Compare validation scores with and without the source, one for each seed.

    The interval is Welch's, for the difference of two means. It needs at least two seeds with the source, two
    without, and scores that differ between seeds. `redrawn` says that each seed trained on a draw of rows of its own.
    """
    with_source, without = Score.over(with_values), Score.over(without_values)
    difference = with_source.mean - without.mean
    gain = -direction.cost(difference)
    unit = "draw" if redrawn else "seed"
    seeds = _seeds(len(with_values), len(without_values), unit)
    scores = (
        f"{metric} {format_score(with_source.mean)} with it, {format_score(without.mean)} without ({difference:+.4f}"
    )
    interval = _interval(with_source, without)
    if interval is None:
        reason = "too few" if min(len(with_values), len(without_values)) < 2 else "no spread between them"
        sentence = (
            f"These {unit}s do not show whether the source {source_name!r} helped: {scores}; {seeds}, {reason} "
            "for an interval). The difference may be chance."
        )
        return Comparison(source_name, with_source, without, difference, None, None, sentence)
    low, high = interval
    if low <= 0 <= high:
        verdict = f"No clear difference with the source {source_name!r}"
    else:
        verdict = f"The source {source_name!r} {'helped' if gain > 0 else 'hurt'}"
    sentence = f"{verdict}: {scores}, 95 % interval {low:+.4f} to {high:+.4f}; {seeds})."
    return Comparison(source_name, with_source, without, difference, low, high, sentence)


def _interval(first: Score, second: Score) -> tuple[float, float] | None:
    """Return Welch's 95 % interval of the difference of two means; None if the seeds are too few or all equal."""
    if first.sd is None or second.sd is None or first.sd == second.sd == 0:
        return None
    from scipy import stats  # takes a second, which the start of a sweep need not wait for

    interval = stats.ttest_ind(first.values, second.values, equal_var=False).confidence_interval()
    return float(interval.low), float(interval.high)


def _seeds(with_source: int, without: int, unit: str) -> str:
    of_rows = " of the training rows" if unit == "draw" else ""
    if with_source == without:
        return f"one {unit}{of_rows} each" if without == 1 else f"{without} {unit}s{of_rows} each"
    return f"{with_source} and {without} {unit}s{of_rows}"
