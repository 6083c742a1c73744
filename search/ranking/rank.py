"""Scores every candidate in this process, and puts the best first."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from search.plan.data import check_data
from search.plan.plan import Plan
from search.ranking.candidates import Candidate, candidates_of
from search.record.ranking import RankedCandidate, Ranking, best_first
from search.redirect_output import output_to_file
from search.storage.sweep_folder import check_storage
from search.wording import format_duration
from trainable.errors import TrialError
from trainable.inputs.prepare import tokenized_dataset_of
from trainable.ranking.effort import Effort
from trainable.ranking.features import target_features
from trainable.ranking.scores import score


def rank_experiment(plan: Plan, storage: Path, effort: Effort) -> Ranking:
    """Check the data of an experiment and rank its candidates, with a line on stderr after each.

    Raises:
        PlanError: if there is only one candidate, or naming every mistake in the data.
        ConfigError: if the storage folder cannot be written.
        TrialError: if no candidate has scores.
    """
    candidates = candidates_of(plan)
    check_storage(storage)
    with output_to_file(Path(os.devnull)) as console:
        check_data(plan, storage)
        return rank_candidates(plan, candidates, storage, effort, Progress(console, len(candidates)))


@dataclass
class Progress:
    """Prints a line after each candidate."""

    console: Console
    count: int
    done: int = 0

    def __call__(self, scored: RankedCandidate) -> None:
        """Print the line of a candidate."""
        self.done += 1
        took = "failed" if scored.error else format_duration(scored.seconds)
        line = f"{self.done} of {self.count}: {scored.encoder}, {scored.title}: {took}"
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)


def rank_candidates(
    plan: Plan,
    candidates: list[Candidate],
    storage: Path,
    effort: Effort,
    on_scored: Callable[[RankedCandidate], None] = lambda _: None,
) -> Ranking:
    """Rank candidates by the features that they give the target's rows.

    Source stages and features are in the storage's cache, so a second ranking takes seconds.

    Args:
        plan: the experiment, its data checked.
        candidates: what to rank.
        storage: the folder of all sweeps.
        effort: how many rows are used.
        on_scored: called after each candidate.

    Raises:
        TrialError: if no candidate has scores.
    """
    workspace, ranked = plan.workspace(storage), list[RankedCandidate]()
    for candidate in candidates:
        start, who = time.monotonic(), (candidate.encoder, candidate.source)
        try:
            found = target_features(candidate.config, workspace, effort)
            scores = score(found.features, found.labels)
        except TrialError as error:
            result = RankedCandidate(*who, error=str(error))
        else:
            figures = scores.log_me, scores.h_score, scores.knn
            result = RankedCandidate(*who, *figures, time.monotonic() - start)
            rows, classes = len(found.labels), len(set(found.labels.tolist()))
        ranked.append(result)
        on_scored(result)
    if all(each.error for each in ranked):
        raise TrialError(f"no candidate has scores: {ranked[0].error}")
    config = candidates[0].config
    target = tokenized_dataset_of(config, config.target, workspace).name
    return Ranking(target, rows, classes, effort.source_rows, best_first(ranked))
