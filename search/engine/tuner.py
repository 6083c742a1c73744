"""Builds the Ray Tune `Tuner` for one session of a search: trainable, searcher, scheduler, callbacks, stoppers."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from optuna.trial import TrialState
from ray import tune
from ray.tune.schedulers import TrialScheduler
from ray.tune.stopper import CombinedStopper

from search.cluster.capacity import Capacity
from search.cluster.ray_internals import HEAD_ONLY
from search.engine.activities import Activities
from search.engine.best_model import BestModel
from search.engine.budget import Budget, BudgetStopper
from search.engine.events import SweepEvents
from search.engine.mlflow_trials import MlflowTrials
from search.engine.pending import MAX_PENDING, PendingTrials
from search.engine.promotion import CheckpointBeforePause, Promotion
from search.engine.schedulers import build_scheduler
from search.engine.searcher import StudySearcher
from search.engine.watch.disk import DiskWatch
from search.engine.watch.hung_trials import HungTrials
from search.engine.watch.repeated_failures import RepeatedFailures
from search.engine.watch.retries import RETRIES, Retries
from search.engine.watch.stop_request import StopRequest
from search.plan.plan import Plan
from search.preflight.forecast import TrialTimes
from search.record.trial_names import trial_name
from search.storage.sweep_folder import SweepFolder, load_saved_plan
from search.study.sweep_study import SweepStudy
from trainable.workers.actor import TuneTrial
from trainable.workers.messages import Resources, key_of_task


@dataclass(frozen=True)
class SweepParts:
    """The objects that the modules of a running sweep share."""

    plan: Plan
    folder: SweepFolder
    study: SweepStudy
    budget: Budget
    stop: StopRequest
    mlflow_trials: MlflowTrials
    capacity: Capacity
    times: TrialTimes | None
    """Expected times of trials; None if no batch was measured."""


def build_tuner(parts: SweepParts, session: str, activities: Activities, show: Callable[[], None]) -> tune.Tuner:
    """Build the tuner. Its `fit` returns when no work is left, or when a stop is requested.

    Args:
        parts: the objects of the sweep.
        session: name of the folder for this session's trials, inside the sweep's folder.
        activities: what the running trials do.
        show: called after each event.
    """
    settings, study = parts.plan.settings, parts.study
    ended, begun = (
        study.values_by_progress(TrialState.COMPLETE, TrialState.PRUNED),
        study.values_by_progress(TrialState.RUNNING),
    )
    scheduler = build_scheduler(settings.scheduler, settings.direction, ended, begun)
    slots = settings.max_concurrent or parts.capacity.slots  # an autoscaler adds nodes for trials that wait
    pending = PendingTrials(slots)
    os.environ[MAX_PENDING] = str(slots)
    return tune.Tuner(
        _trainable(parts.plan, parts.folder, parts.capacity),
        tune_config=_tune_config(parts, scheduler, pending),
        run_config=tune.RunConfig(
            name=session,
            storage_path=str(parts.folder.path.absolute()),
            callbacks=[*_callbacks(parts, scheduler, activities, show), pending],
            stop=CombinedStopper(BudgetStopper(parts.budget), parts.stop),
            failure_config=tune.FailureConfig(max_failures=RETRIES),
            checkpoint_config=tune.CheckpointConfig(num_to_keep=1, checkpoint_at_end=False),
            verbose=0,
        ),
    )


def _tune_config(parts: SweepParts, scheduler: TrialScheduler, pending: PendingTrials) -> tune.TuneConfig:
    settings, slots, stop, times = parts.plan.settings, parts.capacity.slots, parts.stop, parts.times
    return tune.TuneConfig(
        search_alg=StudySearcher(
            parts.plan, parts.study, parts.budget, slots, lambda: stop.requested, scheduler, times, pending
        ),
        scheduler=scheduler,
        num_samples=-1,
        max_concurrent_trials=settings.max_concurrent or (slots if settings.workers_per_trial > 1 else None),
        reuse_actors=True,
        trial_name_creator=lambda trial: trial_name(key_of_task(trial.config)),
        # A paused trial continues as a new Tune trial, in a new folder.
        trial_dirname_creator=lambda trial: f"{trial_name(key_of_task(trial.config))}-{trial.trial_id}",
    )


def _callbacks(
    parts: SweepParts, scheduler: TrialScheduler, activities: Activities, show: Callable[[], None]
) -> list[tune.Callback]:
    plan, folder, study, stop, slots = parts.plan, parts.folder, parts.study, parts.stop, parts.capacity.slots
    return [
        stop,
        BestModel(plan.settings, study, parts.budget, stop),
        SweepEvents(study, parts.mlflow_trials, activities, show),
        Retries(),
        RepeatedFailures(study, stop, slots),
        HungTrials(study, plan.settings.hang_minutes),
        DiskWatch(plan, study, stop, folder, slots),
        *([CheckpointBeforePause()] if isinstance(scheduler, Promotion) else []),
    ]


def _trainable(plan: Plan, folder: SweepFolder, capacity: Capacity) -> Any:
    """Return the trainable with the resources of one trial."""
    settings = plan.settings
    workers = Resources(settings.workers_per_trial, settings.cpus_per_trial, capacity.gpus, settings.threads)
    fingerprints = frozenset(chain.from_iterable(load_saved_plan(folder).get("foundations", {}).values()))
    workspace = replace(plan.workspace(folder.storage), allowed=fingerprints)
    bound = tune.with_parameters(TuneTrial, workspace=workspace, workers=workers)
    if settings.workers_per_trial > 1:
        # The worker group makes its own placement group. The actor that leads the group needs no resources.
        return tune.with_resources(bound, tune.PlacementGroupFactory([HEAD_ONLY]))
    memory = {"memory": capacity.memory} if capacity.memory else {}
    return tune.with_resources(bound, {"CPU": settings.cpus_per_trial, "GPU": capacity.gpus, **memory})
