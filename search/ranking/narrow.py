"""Keeps the best sources of a space, by a ranking before the search."""

from dataclasses import replace
from pathlib import Path

from rich.console import Console

from search.plan.plan import Plan
from search.ranking.candidates import DATASET, candidates_of
from search.ranking.rank import Progress, rank_candidates
from search.record.ranking import Ranking
from spaces import Choice, Space
from trainable.errors import TrialError
from trainable.ranking.effort import Effort


def keep_best_sources(plan: Plan, storage: Path, console: Console) -> tuple[Plan, Ranking]:
    """Return the plan with the first `sweep.ranked_sources` data sets of `source.dataset`, and the ranking of all.

    Args:
        plan: the experiment, its data checked.
        storage: the folder of all sweeps.
        console: gets a line after each candidate, and one on what is kept.

    Raises:
        TrialError: if no source has scores.
    """
    candidates = candidates_of(plan)
    ranking = rank_candidates(plan, candidates, storage, Effort(), Progress(console, len(candidates)))
    kept = ranking.sources[: plan.settings.ranked_sources]
    if not kept:
        raise TrialError("sweep.ranked_sources: no source has scores; run `transfersweep rank` to see why")
    dimension = plan.space.dimensions[DATASET]
    options = tuple(value for value in dimension.domain.corners() if value in kept)  # in the order of the experiment
    space = Space({**plan.space.dimensions, DATASET: replace(dimension, domain=Choice(options))})
    console.print(f"Ranked before the search: {', '.join(ranking.sources)}; kept: {', '.join(kept)}", markup=False)
    return replace(plan, space=space), ranking
