"""Builds the Ray Tune `Tuner` for one session of a search: trainable, searcher, scheduler, callbacks, stoppers."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from optuna.trial import TrialState
from ray import tune
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher
from ray.tune.stopper import CombinedStopper

from search.cluster.capacity import Capacity, count_slots
from search.cluster.ray_internals import HEAD_ONLY
from search.engine.activities import Activities
from search.engine.best_model import BestModel
from search.engine.events import SweepEvents
from search.engine.mlflow_trials import MlflowTrials
from search.engine.schedule.budget import Budget, BudgetStopper
from search.engine.schedule.pending import NO_LIMIT, PendingTrials
from search.engine.schedule.promotion import CheckpointBeforePause, Promotion
from search.engine.schedule.schedulers import build_scheduler
from search.engine.schedule.searcher import StudySearcher
from search.engine.schedule.slot_time import SlotTime
from search.engine.schedule.slots import Slots, SlotsOfCluster
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
    """The resources of the cluster when the search begins."""
    slots: Slots
    """Trials that can run at a time."""
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
    pending = PendingTrials(parts.slots, settings)
    os.environ |= NO_LIMIT  # `pending` limits the trials
    searcher = StudySearcher(
        parts.plan, study, parts.budget, parts.slots, lambda: parts.stop.requested, scheduler, parts.times, pending
    )
    return tune.Tuner(
        _trainable(parts.plan, parts.folder, parts.capacity),
        tune_config=_tune_config(searcher, scheduler),
        run_config=tune.RunConfig(
            name=session,
            storage_path=str(parts.folder.path.absolute()),
            callbacks=[*_callbacks(parts, scheduler, activities, show), SlotTime(parts.slots, pending, study), pending],
            stop=CombinedStopper(BudgetStopper(parts.budget), parts.stop),
            failure_config=tune.FailureConfig(max_failures=RETRIES),
            checkpoint_config=tune.CheckpointConfig(num_to_keep=1, checkpoint_at_end=False),
            verbose=0,
        ),
    )


def _tune_config(searcher: Searcher, scheduler: TrialScheduler) -> tune.TuneConfig:
    return tune.TuneConfig(
        search_alg=searcher,
        scheduler=scheduler,
        num_samples=-1,
        reuse_actors=True,
        trial_name_creator=lambda trial: trial_name(key_of_task(trial.config)),
        # A paused trial continues as a new Tune trial, in a new folder.
        trial_dirname_creator=lambda trial: f"{trial_name(key_of_task(trial.config))}-{trial.trial_id}",
    )


def _callbacks(
    parts: SweepParts, scheduler: TrialScheduler, activities: Activities, show: Callable[[], None]
) -> list[tune.Callback]:
    plan, folder, study, stop, capacity = parts.plan, parts.folder, parts.study, parts.stop, parts.capacity
    return [
        stop,
        SlotsOfCluster(parts.slots, study, lambda: count_slots(plan.settings, capacity.gpus, capacity.memory)),
        BestModel(plan.settings, study, parts.budget, stop),
        SweepEvents(study, parts.mlflow_trials, activities, show),
        Retries(),
        RepeatedFailures(study, stop, parts.slots),
        HungTrials(study, plan.settings.hang_minutes),
        DiskWatch(plan, study, stop, folder, parts.slots),
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
