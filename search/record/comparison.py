"""Whether the source stage helped: a comparison of validation scores over seeds."""

from collections.abc import Sequence

from scipy import stats

from search.record.records import Comparison, Score
from search.wording import format_score
from trainable.tasks.metrics import Direction


def compare(
    with_values: Sequence[float],
    without_values: Sequence[float],
    metric: str,
    direction: Direction,
    source_name: str,
) -> Comparison:
    """Say whether the source stage helped, from one validation score a seed with it and without it.

    The interval is Welch's, for the difference of two means: it takes two seeds on both sides, and
    some spread between seeds.
    """
    with_source, without = Score.over(with_values), Score.over(without_values)
    difference = with_source.mean - without.mean
    gain = -direction.cost(difference)
    seeds = _seeds(len(with_values), len(without_values))
    scores = (
        f"{metric} {format_score(with_source.mean)} with it, {format_score(without.mean)} without ({difference:+.4f}"
    )
    interval = _interval(with_source, without)
    if interval is None:
        reason = "too few" if min(len(with_values), len(without_values)) < 2 else "no spread between them"
        sentence = (
            f"What the source {source_name!r} is worth cannot be told from these seeds: {scores}; {seeds}, {reason} "
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
    """Welch's 95 % interval of the difference of two means; none where the seeds cannot give one."""
    if first.sd is None or second.sd is None or first.sd == second.sd == 0:
        return None
    interval = stats.ttest_ind(first.values, second.values, equal_var=False).confidence_interval()
    return float(interval.low), float(interval.high)


def _seeds(with_source: int, without: int) -> str:
    if with_source == without:
        return "one seed each" if without == 1 else f"{without} seeds each"
    return f"{with_source} and {without} seeds"
