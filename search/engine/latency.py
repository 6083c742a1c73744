"""Times the finalists' models where `sweep.select` prefers the fastest: in turns, in one process."""

import logging

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
from trainable.loop.latency import Timed, latencies
from trainable.metrics.metric import GENERATES

_log = logging.getLogger(__name__)


def measure_latencies(plan: Plan, study: SweepStudy) -> None:
    """Time the models between which `sweep.select` chooses, and store their milliseconds in the study.

    It does nothing if latency does not decide, or if all of them were timed before. If one is missing, all are timed
    again: only times of the same process on the same machine can be compared. Call it while no trial runs.
    """
    if plan.settings.select is None or plan.settings.select.prefer != "latency":
        return
    candidates, known = within_margin(plan, study.records), study.user_attr(LATENCIES, {})
    if len(candidates) < 2 or all(str(record.number) in known for record in candidates):
        return
    models = {record.number: _timed(plan, study, record) for record in candidates}
    # Models of the same shape for the same texts take the same time, whatever a clock says.
    shapes = {number: _shape(plan, study.record(number), timed) for number, timed in models.items() if timed}
    distinct = {shape: models[number] for number, shape in shapes.items()}
    times = dict(zip(distinct, latencies([timed for timed in distinct.values() if timed], pick_device()), strict=True))
    study.set_user_attr(LATENCIES, {number: times.get(shapes.get(number, ())) for number in models})


def _timed(plan: Plan, study: SweepStudy, finalist: TrialRecord) -> Timed | None:
    """Return a finalist's model; None if it cannot be loaded any more, as the result of the search matters more."""
    run = pick_exported_trial(plan, study.records, finalist)
    folder = run.checkpoint_in(study.folder)
    assert folder is not None  # a trial with a model has one
    try:
        model, config = load_trained(folder, trial_config(plan, run).encoder)
        workspace, device = plan.workspace(study.folder.parent), pick_device()
        # The rows of the search, and not those of the run's fold: the same ones for all finalists.
        target = trial_config(plan, finalist).target.model_copy(update={"padding": "longest"})
        rows = tokenized_dataset_of(config, target, workspace).splits["validation"]
        inputs = stage_inputs(rows, target).inputs
        return Timed(torch.nn.Module.to(model, device), inputs, resolve_precision(config.precision, device))
    except (ConfigError, TrialError, OSError, torch.OutOfMemoryError):
        _log.exception("the latency of %s was not measured", run.title)
        return None


def _shape(plan: Plan, finalist: TrialRecord, timed: Timed) -> tuple[str, ...]:
    """Return what decides how long a model takes. A model that generates answers is a shape of its own."""
    config = trial_config(plan, finalist)
    own = str(finalist.number) if config.dataset_of(config.target).task in GENERATES else ""
    return config.encoder, config.pooling, timed.precision, timed.inputs.identity, own
