"""Chooses the next repeats and the run to export, and compares with and without a source; pure functions of records."""

import statistics
from collections.abc import Sequence
from dataclasses import replace

from search.plan.plan import Plan
from search.record.comparison import compare
from search.record.records import State, TrialRecord, ranked
from search.record.scores import Comparison, Score
from search.record.trial_names import Role
from search.study.finalists import (
    Repeat,
    finalists,
    finished_runs,
    has_run,
    missing_repeats,
    rank_finalists,
    runs_with_model,
)
from search.study.trial_settings import CUT, trial_config, uses_source
from trainable.data.read_splits import short_name
from trainable.settings.config import TrialConfig


def repeat_config(plan: Plan, repeat: Repeat) -> TrialConfig:
    """Return all settings of a repeat."""
    return trial_config(plan, as_record(repeat))


def as_record(repeat: Repeat) -> TrialRecord:
    """Return the record of a repeat that begins."""
    begun = TrialRecord(repeat.number, State.RUNNING, repeat.params, repeat.seed, repeat.role)
    return replace(begun, changes=dict(repeat.changes))


def refit_of(winner: TrialRecord) -> Repeat:
    """Return the last run of a sweep: the winner's settings on all rows."""
    return Repeat("refit", winner.number, winner.seed, winner.params)


def mean_cut(records: Sequence[TrialRecord], number: int) -> dict[str, float]:
    """Return the mean of the cuts that the runs of a search trial's settings chose, as a metric; empty without one.

    The run on all rows gets it, as no rows are left that could choose another.
    """
    cuts = [run.metrics.get(CUT, 0.0) for run in runs_with_model(records, number)]
    return {CUT: statistics.fmean(cuts)} if any(cuts) else {}


def next_repeats(plan: Plan, records: Sequence[TrialRecord]) -> list[Repeat]:
    """Return the repeats to run after the search; empty if none is left, or if `sweep.confirm_seeds` is 0.

    First come the finalists with further seeds. If every finalist used a source, the best one's settings without a
    source follow, with the same seeds.
    """
    if not plan.settings.confirm_seeds:
        return []
    if missing := missing_repeats(plan, records):
        return missing
    best = best_finalist(plan, records)
    if best is None or any(r.state is State.RUNNING for r in records):
        return []
    if all(uses_source(plan, r) for r in finalists(plan, records)):
        searched = set(plan.space.names)
        params = {n: v for n, v in best.params.items() if not n.startswith(("source.", "sources."))}
        params |= {name: value for name, value in plan.without_sources().items() if name in searched}
        base, seeds = plan.base.get("seed", 0), plan.settings.confirm_seeds
        further = [base + number for number in range(1, seeds + 1)]
        without_source = [Repeat("no_source", best.number, seed, params) for seed in [best.seed, *further]]
        return [repeat for repeat in without_source if not has_run(records, repeat)]
    return []


def score_of(records: Sequence[TrialRecord], number: int, role: Role = "confirm") -> Score | None:
    """Return the validation score of a search trial's settings over their seeds; None without a model."""
    return _score(runs_with_model(records, number, role))


def _score(runs: Sequence[TrialRecord]) -> Score | None:
    values = [r.value for r in runs if r.value is not None]
    return Score.over(values) if values else None


def best_finalist(plan: Plan, records: Sequence[TrialRecord]) -> TrialRecord | None:
    """Return the best finalist, see `rank_finalists`; None while none has a model."""
    return next(iter(rank_finalists(records, finalists(plan, records), plan.settings.direction)), None)


def pick_exported_trial(plan: Plan, records: Sequence[TrialRecord], winner: TrialRecord) -> TrialRecord:
    """Return the run with the winner's settings whose model is exported.

    It is the run on all rows if it has finished, else that with the best validation score.
    """
    if refitted := finished_runs(records, winner.number, "refit"):
        return refitted[0]
    return ranked(runs_with_model(records, winner.number), plan.settings.direction)[0]


def worth_of_stages(plan: Plan, records: Sequence[TrialRecord]) -> list[str]:
    """Return a sentence on each stage of `sources` that the search switches: the best finalist with it, and without."""
    if not (stages := plan.searched_stages()):
        return []
    settings, sentences = plan.settings, []
    order = rank_finalists(records, finalists(plan, records), settings.direction)
    for stage in stages:
        values: dict[bool, list[float]] = {}
        for record in order:
            if runs := [run.value for run in finished_runs(records, record.number) if run.value is not None]:
                values.setdefault(uses_source(plan, record, stage), runs)
        if len(values) == 2:
            both = values[True], values[False]
            found = compare(*both, settings.metric, settings.direction, stage, settings.redraw_rows)
            sentences.append(found.sentence)
    return sentences


def best_of_each_kind(plan: Plan, records: Sequence[TrialRecord]) -> dict[bool, TrialRecord]:
    """Return the best finalist with a source (True), and the best without, by mean score over seeds.

    A trial that was stopped is not compared with one that ran to its end: a kind of which none has finished is missing.
    """
    cost = plan.settings.direction.cost
    best: dict[bool, tuple[float, TrialRecord]] = {}
    for record in finalists(plan, records):
        score, kind = _score(finished_runs(records, record.number)), uses_source(plan, record)
        if score and (kind not in best or cost(score.mean) < best[kind][0]):
            best[kind] = (cost(score.mean), record)
    return {kind: record for kind, (_, record) in best.items()}


def compare_sources(plan: Plan, records: Sequence[TrialRecord]) -> Comparison | None:
    """Compare the best finalist with a source to the best without, else to the best one's repeats without its source.

    Returns None if either has no finished run.
    """
    best, first = best_of_each_kind(plan, records), best_finalist(plan, records)
    if first is None or True not in best:
        return None
    scores = {kind: _score(finished_runs(records, record.number)) for kind, record in best.items()}
    with_source, without = scores[True], scores.get(False) or score_of(records, first.number, "no_source")
    if with_source is None or without is None:
        return None
    sources = trial_config(plan, best[True]).source_stages().values()
    name = ", then ".join(s.dataset if isinstance(s.dataset, str) else short_name(s.dataset) for s in sources)
    metric, redrawn = plan.settings.metric, plan.settings.redraw_rows
    return compare(with_source.values, without.values, metric, plan.settings.direction, name, redrawn)
