"""Times the finalists' models where `sweep.select` prefers the fastest: one after another, in one process."""

import logging
from pathlib import Path

import torch

from search.plan.plan import Plan
from search.record.records import TrialRecord
from search.study.selection import pick_exported_trial
from search.study.sweep_study import SweepStudy
from search.study.trial_settings import trial_config
from search.study.winner import LATENCIES, within_margin
from trainable.checkpoint import load_trained
from trainable.compute.device import pick_device, resolve_precision
from trainable.errors import ConfigError, TrialError
from trainable.inputs.prepare import tokenized_dataset_of
from trainable.inputs.span_inputs import stage_inputs
from trainable.loop.latency import median_latency

_log = logging.getLogger(__name__)


def measure_latencies(plan: Plan, study: SweepStudy) -> None:
    """Time the models between which `sweep.select` chooses, and store their milliseconds in the study.

    It does nothing if latency does not decide, or if all of them were timed before. If one is missing, all are timed
    again: only times of the same process on the same machine can be compared. Call it while no trial runs.
    """
    if plan.settings.select is None or plan.settings.select.prefer != "latency":
        return
    candidates = within_margin(plan, study.records)
    if len(candidates) < 2 or {str(record.number) for record in candidates} <= study.user_attr(LATENCIES, {}).keys():
        return
    study.set_user_attr(LATENCIES, {record.number: _milliseconds(plan, study, record) for record in candidates})


def _milliseconds(plan: Plan, study: SweepStudy, finalist: TrialRecord) -> float | None:
    """Return the time of a finalist's model; None if it cannot be loaded any more, as the result matters more."""
    run = pick_exported_trial(plan, study.records, finalist)
    folder = run.checkpoint_in(study.folder)
    assert folder is not None  # a trial with a model has one
    try:
        return _median_of(plan, study, run, folder)
    except (ConfigError, TrialError, OSError):
        _log.exception("the latency of %s was not measured", run.title)
        return None


def _median_of(plan: Plan, study: SweepStudy, run: TrialRecord, folder: Path) -> float:
    model, config = load_trained(folder, trial_config(plan, run).encoder)
    workspace = plan.workspace(study.folder.parent)
    rows = tokenized_dataset_of(config, config.target, workspace).splits["validation"]
    stage = config.target.model_copy(update={"padding": "longest"})
    device = pick_device()
    precision = resolve_precision(config.precision, device)
    return median_latency(torch.nn.Module.to(model, device), stage_inputs(rows, stage).inputs, device, precision)
