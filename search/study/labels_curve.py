"""The trials of the labels curve, and the curve; pure functions of records.

They repeat the best settings with a source and the best without on several numbers of training rows. The rows and the
seeds are others than those of the search, so that chance in the draw of the search is not in the curve.
"""

from collections.abc import Sequence

from search.plan.plan import Plan
from search.record.labels_curve import Estimate, LabelsCurve, LabelsPoint, how_many_rows
from search.record.records import State, TrialRecord
from search.record.trial_names import TRAIN_ROWS
from search.study.finalists import Repeat, has_run
from search.study.selection import best_finalist, best_of_each_kind
from search.study.trial_settings import uses_source
from trainable.settings.stage import PerClass
from trainable.settings.values import Params

Kinds = dict[bool, tuple[TrialRecord, Params]]
"""With a source (True) and without: the search trial whose settings are used, and what is changed in them."""


def most_labels_trials(plan: Plan) -> int:
    """Return how many trials the labels curve of a plan can have."""
    kinds = 1 + bool(plan.base.get("source") or plan.base.get("sources"))
    return len(plan.settings.labels_rows) * plan.settings.labels_draws * kinds


def labels_trials(plan: Plan, records: Sequence[TrialRecord]) -> list[Repeat]:
    """Return every trial of the labels curve of the best settings so far; empty without `sweep.labels_curve`.

    The first draw of every number of rows comes first, so that a sweep that runs out of time has the whole curve.
    """
    if not plan.settings.labels_rows:
        return []
    kinds = _kinds(plan, records)
    return [
        _trial(plan, kinds, kind, rows, draw)
        for draw in range(1, plan.settings.labels_draws + 1)
        for rows in plan.settings.labels_rows
        for kind in kinds
    ]


def missing_labels_trials(plan: Plan, records: Sequence[TrialRecord]) -> list[Repeat]:
    """Return the trials of the labels curve that have not begun; none while a trial runs that may change the winner."""
    if any(r.state is State.RUNNING and r.role in ("search", "confirm") for r in records):
        return []
    return [trial for trial in labels_trials(plan, records) if not has_run(records, trial)]


def labels_curve(plan: Plan, records: Sequence[TrialRecord]) -> LabelsCurve | None:
    """Return the labels curve of the best settings; None before one of its trials has finished."""
    scores = {r.key: r.value for r in records if r.role == "labels" and r.state is State.FINISHED}
    kinds = _kinds(plan, records) if scores else {}
    per_class = any(isinstance(rows, PerClass) for rows in plan.settings.labels_rows)
    points = []
    for rows in plan.settings.labels_rows:
        found = {kind: _scores(plan, kinds, kind, rows, scores) for kind in kinds}
        ours, others = found.get(True, {}), found.get(False, {})
        differences = [ours[draw] - others[draw] for draw in ours if draw in others]
        estimates = (Estimate.over(values) for values in (ours.values(), others.values(), differences))
        points.append(LabelsPoint(rows.per_class if isinstance(rows, PerClass) else rows, *estimates))
    if not any(point.with_source or point.without_source for point in points):
        return None
    with_source, without_source = (kinds[kind][0].number if kind in kinds else None for kind in (True, False))
    sentence = how_many_rows(points, plan.settings.metric, plan.settings.direction, per_class)
    draws = plan.settings.labels_draws
    return LabelsCurve(tuple(points), draws, per_class, with_source, without_source, sentence)


def labels_notes(plan: Plan, records: Sequence[TrialRecord]) -> list[str]:
    """Return a sentence if there was no time for some trials of the labels curve."""
    missing, trials = len(missing_labels_trials(plan, records)), len(labels_trials(plan, records))
    if not missing:
        return []
    return [f"the labels curve lacks {missing} of its {trials} trials, as the time was used up; more minutes add them"]


def _scores(
    plan: Plan, kinds: Kinds, kind: bool, rows: int | PerClass, scores: dict[int | str, float | None]
) -> dict[int, float]:
    """Return the score of each draw that finished."""
    found = {draw: scores.get(_trial(plan, kinds, kind, rows, draw).key) for draw in _draws(plan)}
    return {draw: value for draw, value in found.items() if value is not None}


def _kinds(plan: Plan, records: Sequence[TrialRecord]) -> Kinds:
    best = best_of_each_kind(plan, records)
    if not best and (only := best_finalist(plan, records)):
        best = {uses_source(plan, only): only}  # a trial that was stopped
    kinds: Kinds = {kind: (best[kind], {}) for kind in (True, False) if kind in best}
    if True in best and False not in best:
        kinds[False] = best[True], plan.without_sources()
    return kinds


def _draws(plan: Plan) -> range:
    return range(1, plan.settings.labels_draws + 1)


def _trial(plan: Plan, kinds: Kinds, kind: bool, rows: int | PerClass, draw: int) -> Repeat:
    trial, changes = kinds[kind]
    number = rows.model_dump() if isinstance(rows, PerClass) else rows
    seed = plan.base.get("seed", 0) + draw
    return Repeat("labels", trial.number, seed, trial.params, {TRAIN_ROWS: number, **changes})
