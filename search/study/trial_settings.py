"""The settings of a trial of a sweep, from its record."""

from search.plan.plan import Plan
from search.record.records import TrialRecord
from trainable.settings.config import TrialConfig
from trainable.settings.values import Params
from trainable.tasks.threshold import probability_of

CUT = "target.validation.cut"
"""The metric with the log-odds of the threshold that the validation rows chose."""


def uses_source(plan: Plan, record: TrialRecord, stage: str | None = None) -> bool:
    """Return whether a trial has a source stage, or the one of this dotted name."""
    stages = trial_config(plan, record).source_stages()
    return bool(stages) if stage is None else stage in stages


def trial_config(plan: Plan, record: TrialRecord) -> TrialConfig:
    """Return all settings of a trial, with its seed, fold and draw, and without sources if its role says so."""
    override: Params = {**(plan.without_sources() if record.role == "no_source" else {}), **record.changes}
    if (fold := fold_number(plan, record)) != 0:
        override = {**override, "target.fold": fold}
    if draw := draw_number(plan, record):
        override = {**override, "target.draw": draw}
    if record.role == "refit" and CUT in record.metrics:
        override = {**override, "target.threshold": probability_of(record.metrics[CUT])}
    # With folds, the source stage stays the same, and is trained once.
    seed = plan.base.get("seed", 0) if _has_fold(plan, record) else record.seed
    return plan.config(record.params, seed=seed, **override)


def fold_number(plan: Plan, record: TrialRecord) -> int | None:
    """Return the fold of a trial: each further seed stands for a fold of its own, and a refit has none."""
    if record.role == "refit":
        return None
    return record.seed - plan.base.get("seed", 0) if _has_fold(plan, record) else 0


def draw_number(plan: Plan, record: TrialRecord) -> int:
    """Return the draw of a trial's training rows.

    Each further seed has a draw of its own with `redraw_rows`, and in the labels curve.
    """
    redraws = plan.settings.redraw_rows or record.role == "labels"
    return record.seed - plan.base.get("seed", 0) if redraws else 0


def _has_fold(plan: Plan, record: TrialRecord) -> bool:
    """Return whether a trial's seed stands for a fold, as it does not where a part of the training rows is taken."""
    return plan.cross_validates and record.role != "labels"
