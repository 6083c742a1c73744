"""The obvious answers as contestants: their results, and whether one of them wins against the trials of a search."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from search.plan.plan import Plan
from search.record.records import TrialRecord
from search.record.scores import BASELINE_TITLES, Baseline, Gain, PassedOver, Score
from search.study.finalists import runs_with_model
from search.study.selection import pick_exported_trial, score_of
from search.study.sweep_study import SweepStudy
from search.study.trial_settings import fold_number
from search.study.winner import choose_winner, latencies_of
from search.wording import format_score
from trainable.baselines.results import INTERRUPTED, NEEDS_ENCODER, NEVER_WIN, BaselineFolder, mean_metrics
from trainable.metrics.metric import METRICS, Direction

FOLDER = "baselines"
"""Folder of the results and models, in the sweep's folder."""
_ZERO_SHOT = "target.zero_shot."


@dataclass(frozen=True)
class Contest:
    """The best of the search and the baselines, compared on the target's validation split."""

    baselines: tuple[Baseline, ...]
    """Best first, see `rank_baselines`."""
    trial: TrialRecord | None
    """The search trial whose settings won the search, see `choose_winner`."""
    score: Score | None
    """Its score over seeds."""
    exported: TrialRecord | None
    """The best run with these settings."""
    winning_baseline: Baseline | None
    """The baseline that won; None if the trial won."""
    least_lead: float = 0.0
    """The lead of the trial that would have been enough, if a baseline won with the lower score; else 0."""
    passed_over: PassedOver | None = None
    """The trial with the best score, if a cheaper one won."""


def hold_contest(plan: Plan, study: SweepStudy, refit_follows: bool = False) -> Contest:
    """Compare the trials so far with the baselines so far. A baseline wins a tie, as it is simpler.

    The source's model as it stands wins no tie: it is the state of a trial before its first step. A baseline has
    trained on all rows. A trial that has not must be better by a standard error, see `_least_lead`. A trial that won
    because it is cheaper must beat the baselines, too; else the best trial takes its place.

    Args:
        plan: the experiment.
        study: the record of all trials.
        refit_follows: whether the winner is still to train on all rows.
    """
    choice = choose_winner(plan, study.records, latencies_of(study))
    contest = _contest(plan, study, choice.winner if choice else None, refit_follows)
    if choice is None or choice.passed_over is None:
        return contest
    if contest.winning_baseline:  # a baseline may be better than the cheaper trial, and yet not beat the best one
        return _contest(plan, study, choice.best, refit_follows)
    return replace(contest, passed_over=choice.passed_over)


def _contest(plan: Plan, study: SweepStudy, trial: TrialRecord | None, refit_follows: bool) -> Contest:
    """Compare a trial with the baselines so far."""
    records, direction = study.records, plan.settings.direction
    score = score_of(records, trial.number) if trial else None
    # The same held-out rows for both, as far as the trial was scored on them.
    folds = [fold_number(plan, run) for run in runs_with_model(records, trial.number)] if trial else []
    baselines = baselines_so_far(study.folder, records, plan.settings.metric, folds)
    # The costs of a baseline are not measured; a constraint is made for models with an encoder.
    costly = NEEDS_ENCODER if plan.settings.limits else ()
    best = next((baseline for baseline in baselines if baseline.checkpoint and baseline.name not in costly), None)
    exported = pick_exported_trial(plan, records, trial) if trial else None
    least = 0.0
    if best and score and exported:
        lead = direction.cost(best.value) - direction.cost(score.mean)
        if lead > 0 and plan.refits and not refit_follows and exported.role != "refit":
            least = _least_lead(plan, score, best)
        if lead > least:
            best, least = None, 0.0
    return Contest(baselines, trial, score, exported, best, least)


def _least_lead(plan: Plan, score: Score, best: Baseline) -> float:
    """Return the standard error of the difference of two scores from 0 to 1 on the held-out rows; 0 for other metrics.

    It is that of two accuracies whose mistakes overlap by half: each mistake of one alone counts as one row.
    """
    rows = plan.held_out_rows * len(score.values)
    if METRICS[plan.settings.metric] is not Direction.MAX or min(score.mean, best.value) < 0 or not rows:
        return 0.0
    different = max(0.0, 1 - score.mean) / 2 + max(0.0, 1 - best.value) / 2
    return math.sqrt(different / rows)


def rank_baselines(
    baselines: Sequence[Baseline], metric: str, on_all_folds: Mapping[str, Mapping[str, float]] = MappingProxyType({})
) -> tuple[Baseline, ...]:
    """Return baselines best first.

    Of equal ones, as there are many on few rows, the one that is better on all folds is first, then the one with the
    lower loss there, then the simpler one.

    Args:
        baselines: the baselines, scored on some folds.
        metric: the metric that ranks.
        on_all_folds: the metrics on all folds, by the baseline's name.
    """
    order, cost = list(BASELINE_TITLES), METRICS[metric].cost

    def rank(each: Baseline) -> tuple[float, float, float, int]:
        overall = on_all_folds.get(each.name, each.metrics)
        of_all = cost(overall.get(metric, each.value))
        return cost(each.value), of_all, overall.get("loss", math.inf), order.index(each.name)

    return tuple(sorted(baselines, key=rank))


def contest_notes(contest: Contest) -> list[str]:
    """Return why a baseline won with a lower score than the best trial; empty if that is not so."""
    if not contest.least_lead:
        return []
    return [
        "the baseline won, though the best trial has a higher validation score: there was no time to train that trial "
        f"on all rows, as the baseline was, and its lead is below the standard error, {contest.least_lead:.4f}; more "
        "minutes change that"
    ]


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
    found, on_all_folds = [], {}
    for each in BaselineFolder(sweep / FOLDER).read():
        scores = mean_metrics([of for number, of in enumerate(each.folds) if number in folds]) or each.metrics
        if metric in scores:  # rules have no loss
            model = None if each.name in NEVER_WIN else f"{FOLDER}/{each.name}"
            found.append(Baseline(each.name, scores, scores[metric], each.seconds, each.rows, model))
            on_all_folds[each.name] = each.metrics
    untouched = _source_as_it_stands(records, metric)
    return rank_baselines([*found, untouched] if untouched else found, metric, on_all_folds)


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
    return describe_gain(
        best, (contest.score.mean, best.value), metric, "validation", may_be_chance=contest.least_lead > 0
    )


def describe_gain(
    baseline: Baseline,
    values: tuple[float, float],
    metric: str,
    split: Literal["validation", "test"],
    interval: tuple[float, float] | None = None,
    rows: int = 0,
    may_be_chance: bool = False,
) -> Gain:
    """Return what the search added to the best baseline, with its sentence.

    Args:
        baseline: the best baseline.
        values: the metric of the search's best model, and that of the baseline.
        metric: its name.
        split: the split on which both are measured.
        interval: 95 % interval of the difference, the search minus the baseline; None if there is none.
        rows: rows of the split, if there is an interval.
        may_be_chance: whether the difference is too small for a choice, though there is no interval.
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
    elif may_be_chance or (interval and interval[0] <= 0 <= interval[1]):
        verdict = "The search may have helped, but these rows do not show it clearly"
    else:
        verdict = "The search helped"
    flattered = helped and split == "validation"
    caution = " Validation chose the settings, so the difference flatters the search." if flattered else ""
    return Gain(baseline.name, difference, split, low, high, f"{verdict}: {scores}.{caution}")
