"""Computes the baselines beside the first trials, and waits for them at the end of the search."""

import time
from pathlib import Path
from typing import Any

import ray

from search.cluster.capacity import Capacity
from search.plan.plan import Plan
from search.plan.target_task import target_tasks
from search.preflight.costliest import baseline_trial, costliest_trial
from search.startup.dry_run_process import DryRunProcess
from search.storage.sweep_folder import SweepFolder

WAIT_SECONDS = 60.0
"""Longest time that a finished search waits for the baselines."""
_POLL_SECONDS = 0.2


class BaselineRun:
    """The computation of the baselines that a sweep lacks.

    Args:
        plan: the experiment, its data prepared.
        folder: the sweep's folder.
        capacity: the resources of a trial, which the Ray task gets.
        process: the process on this machine that computes them; None starts a Ray task if any are missing.
    """

    def __init__(self, plan: Plan, folder: SweepFolder, capacity: Capacity, process: DryRunProcess | None) -> None:
        self._folder, self._process = folder.baselines, process
        self._target_task = target_tasks(plan.base, plan.space)[0]
        self._task: Any = None
        if process is None and self._folder.missing(self._target_task):
            self._task = self._begin(plan, folder.storage, capacity)

    def _begin(self, plan: Plan, storage: Path, capacity: Capacity) -> Any:
        from trainable.baselines.compute import compute_baselines  # imports scikit-learn, which takes seconds

        workspace = plan.workspace(storage)
        config = baseline_trial(plan, costliest_trial(plan, workspace)[1], workspace)
        task = ray.remote(compute_baselines).options(
            num_cpus=plan.settings.cpus_per_trial, num_gpus=capacity.gpus, max_retries=0
        )
        folder = type(self._folder)(self._folder.path.absolute())
        return task.remote(config, workspace, folder, plan.folds, plan.refits)

    def wait(self, seconds: float = WAIT_SECONDS) -> None:
        """Wait until they are done or can no longer be, but at most so many seconds."""
        end = time.monotonic() + seconds
        while self._folder.missing(self._target_task) and self._may_continue() and time.monotonic() < end:
            time.sleep(_POLL_SECONDS)

    def _may_continue(self) -> bool:
        if self._process is not None:
            return self._process.running
        return self._task is not None and not ray.wait([self._task], timeout=0)[0]
