"""The obvious answers as contestants: their results, and whether one of them wins against the trials of a search."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from search.plan.plan import Plan
from search.record.records import TrialRecord
from search.record.scores import BASELINE_TITLES, Baseline, Gain, Score
from search.study.finalists import runs_with_model
from search.study.selection import pick_exported_trial, pick_winner, score_of
from search.study.sweep_study import SweepStudy
from search.study.trial_settings import fold_number
from search.wording import format_score
from trainable.baselines.results import INTERRUPTED, BaselineFolder, mean_metrics
from trainable.metrics.metric import METRICS, Direction

FOLDER = "baselines"
"""Folder of the results and models, in the sweep's folder."""
_ZERO_SHOT = "target.zero_shot."


@dataclass(frozen=True)
class Contest:
    """The best of the search and the baselines, compared on the target's validation split."""

    baselines: tuple[Baseline, ...]
    """Best first; of two equal ones, the simpler first."""
    trial: TrialRecord | None
    """The search trial whose settings are the best of the search."""
    score: Score | None
    """Its score over seeds."""
    exported: TrialRecord | None
    """The best run with these settings."""
    winning_baseline: Baseline | None
    """The baseline that won; None if the trial won."""


def hold_contest(plan: Plan, study: SweepStudy) -> Contest:
    """Compare the trials so far with the baselines so far. A baseline wins a tie, as it is simpler.

    The source's model as it stands wins no tie: it is the state of a trial before its first step.
    """
    records, direction = study.records, plan.settings.direction
    trial = pick_winner(plan, records)
    score = score_of(records, trial.number) if trial else None
    # The same held-out rows for both, as far as the trial was scored on them.
    folds = [fold_number(plan, run) for run in runs_with_model(records, trial.number)] if trial else []
    baselines = baselines_so_far(study.folder, records, plan.settings.metric, folds)
    best = next((baseline for baseline in baselines if baseline.checkpoint), None)
    if best and score and direction.cost(score.mean) < direction.cost(best.value):
        best = None
    exported = pick_exported_trial(plan, records, trial) if trial else None
    return Contest(baselines, trial, score, exported, best)


def rank_baselines(baselines: Sequence[Baseline], direction: Direction) -> tuple[Baseline, ...]:
    """Return baselines best first; of two equal ones, the simpler first."""
    order = list(BASELINE_TITLES)
    return tuple(sorted(baselines, key=lambda each: (direction.cost(each.value), order.index(each.name))))


def baseline_notes(sweep: Path) -> list[str]:
    """Return a sentence on each baseline without a model, and what else a reader should know."""
    notes: list[str] = []
    for result in BaselineFolder(sweep / FOLDER).read():
        if not result.metrics:
            title = BASELINE_TITLES[result.name]
            notes.append(f"the baseline {title} was not computed: {result.error or INTERRUPTED}")
        notes += result.notes
    return list(dict.fromkeys(notes))


def baselines_so_far(
    sweep: Path, records: Sequence[TrialRecord], metric: str, folds: Sequence[int | None] = ()
) -> tuple[Baseline, ...]:
    """Return every baseline that has a score, best first.

    Args:
        sweep: the sweep's folder.
        records: all trials.
        metric: the metric that ranks.
        folds: the folds whose mean is the score; empty for all of them.
    """
    found = []
    for each in BaselineFolder(sweep / FOLDER).read():
        scores = mean_metrics([of for number, of in enumerate(each.folds) if number in folds]) or each.metrics
        if scores:
            made = Baseline(each.name, scores, scores[metric], each.seconds, each.rows, f"{FOLDER}/{each.name}")
            found.append(made)
    untouched = _source_as_it_stands(records, metric)
    return rank_baselines([*found, untouched] if untouched else found, METRICS[metric])


def _source_as_it_stands(records: Sequence[TrialRecord], metric: str) -> Baseline | None:
    """Return the best source model before the first step of the target stage, where trials keep its head."""
    scored = [record.metrics for record in records if f"{_ZERO_SHOT}{metric}" in record.metrics]
    if not scored:
        return None
    best = min(scored, key=lambda metrics: METRICS[metric].cost(metrics[f"{_ZERO_SHOT}{metric}"]))
    metrics = {n.removeprefix(_ZERO_SHOT): value for n, value in best.items() if n.startswith(_ZERO_SHOT)}
    return Baseline("source", metrics, metrics[metric])


def plain_gain(plan: Plan, contest: Contest) -> Gain | None:
    """Return the difference between the validation scores of the best trial and the best baseline."""
    if contest.score is None or not contest.baselines:
        return None
    best, metric = contest.baselines[0], plan.settings.metric
    return describe_gain(best, (contest.score.mean, best.value), metric, "validation")


def describe_gain(
    baseline: Baseline,
    values: tuple[float, float],
    metric: str,
    split: Literal["validation", "test"],
    interval: tuple[float, float] | None = None,
    rows: int = 0,
) -> Gain:
    """Return what the search added to the best baseline, with its sentence.

    Args:
        baseline: the best baseline.
        values: the metric of the search's best model, and that of the baseline.
        metric: its name.
        split: the split on which both are measured.
        interval: 95 % interval of the difference, the search minus the baseline; None if there is none.
        rows: rows of the split, if there is an interval.
    """
    difference = values[0] - values[1]
    helped = METRICS[metric].cost(difference) < 0
    low, high = interval or (None, None)
    place = "above" if difference > 0 else "below"
    distance = f"{format_score(abs(difference))} {place}" if difference else "equal to"
    scores = (
        f"{metric} {format_score(values[0])} on the {split} split, {distance} the best baseline "
        f"({baseline.title}, {format_score(values[1])})"
    )
    if interval:
        scores += f"; 95 % interval of the difference {interval[0]:+.4f} to {interval[1]:+.4f}, {rows} rows"
    if not helped:
        verdict = "The search added nothing"
    elif interval and interval[0] <= 0 <= interval[1]:
        verdict = "The search may have helped, but these rows do not show it clearly"
    else:
        verdict = "The search helped"
    flattered = helped and split == "validation"
    caution = " Validation chose the settings, so the difference flatters the search." if flattered else ""
    return Gain(baseline.name, difference, split, low, high, f"{verdict}: {scores}.{caution}")
