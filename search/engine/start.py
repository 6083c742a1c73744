"""Starts, resumes and extends sweeps.

Torch, Ray and Optuna take seconds to import. They are imported only after all checks that do not need them.
"""

import json
import os
import shutil
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from search.errors import PlanError, StoppedError
from search.plan.changes import changed_data, load_older_facts, name_taken_problems
from search.plan.data_use import DataUse, from_stored, to_stored
from search.plan.plan import Plan, load_sweep
from search.record.records import Outcome
from search.startup.dry_run_process import BaselineTask, DryRunProcess
from search.storage.driver_lock import hold_driver_lock
from search.storage.empty_sweep import has_trials, remove_empty
from search.storage.sweep_folder import (
    SavedPlan,
    SavedRanking,
    SweepFolder,
    check_storage,
    create_sweep_folder,
    load_outcome,
    load_saved_plan,
    save_plan,
)

if TYPE_CHECKING:
    from trainable.inputs.prepare import TokenizedDataset


def start_sweep(
    plan: Plan,
    storage: Path,
    address: str | None = None,
    dry_run_process: Callable[[], DryRunProcess] | None = None,
) -> Outcome:
    """Check the data, create the sweep's folder and run the sweep to its end.

    Args:
        plan: the experiment.
        storage: the folder of all sweeps.
        address: a running Ray cluster to join; None starts Ray on this machine.
        dry_run_process: makes the process that tries one batch while Ray starts on this machine. It is called after
            the cheap checks. If None, a Ray task tries the batch later.

    Raises:
        PlanError: if the data have mistakes or a sweep with this name exists.
        ConfigError: if the preflight finds problems; the message lists them all.
        StoppedError: if the disk is full.
    """
    began, folder = time.monotonic(), SweepFolder(storage, plan.settings.name)
    if os.path.lexists(folder.path) and not remove_empty(folder):  # a broken link also blocks the name
        raise PlanError(name_taken_problems(folder, plan))
    check_storage(storage)
    if plan.settings.start_from:
        load_older_facts(plan, storage)
    _say(f"{plan.settings.name}: reading the data")
    with dry_run_process() if dry_run_process else nullcontext() as dry_run:
        return _begin(plan, folder, address, dry_run, began)


def _begin(
    plan: Plan, folder: SweepFolder, address: str | None, dry_run: DryRunProcess | None, began: float
) -> Outcome:
    from search.plan.data import check_data, held_out_rows
    from search.propose.start_from import load_earlier_trials
    from search.study.fingerprints import compute_fingerprints

    storage = folder.storage
    prepared = check_data(plan, storage)
    plan, ranking = _ranked(replace(plan, held_out_rows=held_out_rows(plan, prepared)), storage)
    if ranking:
        prepared = check_data(plan, storage)  # of fewer sources
    if plan.settings.start_from:
        load_earlier_trials(plan, storage, prepared)  # only to find its errors before the folder exists
    facts: SavedPlan = {
        **plan.to_mapping(),
        "id": uuid.uuid4().hex,
        "storage": str(storage.absolute()),
        "data": to_stored(prepared),
        "foundations": compute_fingerprints(plan, storage, prepared),
        **ranking,
    }
    try:
        lock = create_sweep_folder(folder, facts)
    except FileExistsError:  # another process was faster
        raise PlanError(name_taken_problems(folder, plan)) from None
    try:
        return _run(plan, folder, prepared, address, began, dry_run)
    except StoppedError:  # its message names the command that continues the sweep
        raise
    except BaseException:
        # Remove a sweep without trials, so that its name is free for the next try.
        if not has_trials(folder):
            if dry_run:
                dry_run.end()  # else it may write a baseline into the folder
            shutil.rmtree(folder.path)
        raise
    finally:
        lock.release()


def _ranked(plan: Plan, storage: Path) -> tuple[Plan, SavedRanking]:
    """Return the plan with its best sources and the ranking to store, or the plan as it is if it asks for none."""
    if plan.settings.ranked_sources is None:
        return plan, {}
    from search.ranking.narrow import keep_best_sources
    from search.redirect_output import output_to_file

    with output_to_file(Path(os.devnull)) as console:
        plan, ranking = keep_best_sources(plan, storage, console)
    return plan, {"ranking": json.loads(ranking.to_json())}


def resume_sweep(
    name: str, storage: Path, address: str | None = None, overrides: Mapping[str, str] | None = None
) -> Outcome:
    """Continue an interrupted sweep, or a finished sweep with a larger budget.

    A finished sweep without `overrides` runs no trials: it sends MLflow the events that MLflow lacks, and returns its
    outcome again. Settings changed by `overrides` stay changed.

    Raises:
        PlanError: if there is no such sweep, if another process runs it, or if files that it uses have changed.
    """
    folder = SweepFolder(storage, name)
    load_saved_plan(folder)  # to find damaged files before anything is written to the folder
    load_outcome(folder)
    with hold_driver_lock(folder.path):
        return _resume(folder, address, overrides)


def _resume(folder: SweepFolder, address: str | None, overrides: Mapping[str, str] | None) -> Outcome:
    began, storage, outcome = time.monotonic(), folder.storage, load_outcome(folder)
    plan = load_sweep(folder, overrides)
    if outcome is not None and outcome.complete and not overrides:
        from search.engine.finish import deliver_rest

        return deliver_rest(outcome, plan, folder)
    check_storage(storage)
    _say(f"{plan.settings.name}: reading the data again, to see that they are the same")
    from search.plan.data import check_data
    from search.study.fingerprints import compute_fingerprints, describe_changes

    prepared, facts = check_data(plan, storage), load_saved_plan(folder)
    fingerprints = compute_fingerprints(plan, storage, prepared)
    problems = changed_data(from_stored(facts["data"]), prepared)
    if "foundations" in facts:  # older versions did not store it
        problems = describe_changes(facts["foundations"], fingerprints)
    if problems:
        raise PlanError([f"{folder.name}: {problem}" for problem in problems])
    save_plan(folder, {**facts, "foundations": fingerprints})
    return _run(plan, folder, prepared, address, began)


def extend_sweep(name: str, storage: Path, trials: int, address: str | None = None) -> Outcome:
    """Continue a sweep, finished or not, with `trials` more search trials than its settings ask for.

    Raises:
        PlanError: as for `resume_sweep`, or if the sweep runs until its time is up.
    """
    folder = SweepFolder(storage, name)
    settings = load_sweep(folder).settings
    if settings.is_limited_by_time:
        more = folder.command(*settings.command_for_more(trials))
        raise PlanError([f"{name}: has a time limit and no number of trials; give it more time: `{more}`"])
    return resume_sweep(name, storage, address, {"sweep.trials": str(settings.most_trials + trials)})


def _say(sentence: str) -> None:
    """Tell on stderr what is being done: the first trial begins only after many seconds."""
    print(sentence, file=sys.stderr, flush=True)


def _run(
    plan: Plan,
    folder: SweepFolder,
    prepared: "Mapping[DataUse, TokenizedDataset]",
    address: str | None,
    began: float,
    dry_run: DryRunProcess | None = None,
) -> Outcome:
    _say(f"{plan.settings.name}: {'joining' if address else 'starting'} Ray, and trying one batch")
    from search.cluster import connection
    from search.cluster.capacity import trials_use_gpus

    with connection.starting(address, plan.settings):  # importing the libraries takes as long as Ray's start
        if dry_run:
            from search.preflight.costliest import baseline_trial, costliest_trial

            workspace = plan.workspace(folder.storage)
            _, costliest = costliest_trial(plan, workspace)
            baselines = BaselineTask(baseline_trial(plan, costliest, workspace), folder.baselines)
            dry_run.begin(plan, folder.storage, costliest, trials_use_gpus(plan.settings), baselines)
        from search.engine.sweep import run_sweep

        return run_sweep(plan, folder, prepared, address, dry_run, began)
