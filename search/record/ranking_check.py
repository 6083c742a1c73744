"""Compares the ranking before a search with the trials of the search."""

from collections.abc import Iterable

from search.record.ranking import Ranking
from search.record.records import State, TrialRecord
from search.wording import format_score
from trainable.metrics.metric import Direction


def ranking_check(ranking: Ranking, trials: Iterable[TrialRecord], direction: Direction) -> str | None:
    """Return sentences that compare the places of the sources with their best trials.

    Returns None until trials with two different sources, or with one and without, have finished.

    Args:
        ranking: from before the search.
        trials: all trials; only those of the search count.
        direction: whether a higher or a lower score is better.
    """
    best: dict[str | None, float] = {}
    for trial in trials:
        chosen = None if trial.params.get("source.enabled") is False else trial.params.get("source.dataset")
        if trial.role == "search" and trial.state is State.FINISHED and trial.value is not None:
            source = None if chosen is None else str(chosen)
            best[source] = min(best.get(source, trial.value), trial.value, key=direction.cost)
    if len(best) < 2:
        return None
    order = sorted(best, key=lambda source: direction.cost(best[source]))
    listed = ", ".join(f"{_title(source)} {format_score(best[source])} ({_place(ranking, source)})" for source in order)
    first = min(best, key=lambda source: ranking.place(source) or len(ranking.candidates) + 1)
    if best[first] == best[order[0]]:
        verdict = "What the ranking put first also has the best trial"
    else:
        gap = abs(best[first] - best[order[0]])
        verdict = f"The ranking preferred {_title(first)}, whose best trial is worse by {gap:.4f}"
    return f"Best trials: {listed}. {verdict}. Few trials with each leave small differences to chance."


def _title(source: str | None) -> str:
    return "no source" if source is None else repr(source)


def _place(ranking: Ranking, source: str | None) -> str:
    place = ranking.place(source)
    return "not ranked" if place is None else f"ranked {place}"
