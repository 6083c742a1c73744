"""Runs one sweep: opens the study, joins Ray, checks the cluster, searches, finishes. Read `run_sweep` first."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import partial

from rich.console import Console

from search.cluster import connection
from search.cluster.capacity import capacity_for, limit_to_memory
from search.cluster.ray_internals import skip_snapshots_at_checkpoints, use_waiting_processes
from search.cluster.workers import wait_for_workers
from search.engine.baselines import BaselineRun
from search.engine.finish import ALL_LOST, finish, save_and_deliver
from search.engine.mlflow_sweep import save_view
from search.engine.mlflow_trials import MlflowTrials
from search.engine.report import report_outcome
from search.engine.schedule.budget import Budget
from search.engine.schedule.slots import Slots
from search.engine.session import run_session
from search.engine.tuner import SweepParts
from search.engine.watch.disk import explain_full_disk, remove_unneeded_checkpoints
from search.engine.watch.ray_watch import HEAD_NODE_TIMEOUT_SECONDS, stop_if_ray_dies
from search.engine.watch.stop_request import StopRequest
from search.errors import StoppedError
from search.plan.data import summarise_data, summarise_encoders
from search.plan.data_use import DataUse
from search.plan.plan import Plan
from search.plan.settings import SweepSettings
from search.preflight import preflight
from search.propose.start_from import load_earlier_trials
from search.record.records import Outcome, State
from search.redirect_output import output_to_file
from search.startup.dry_run_process import DryRunProcess
from search.storage.sqlite_lock import explain_locked_study
from search.storage.sweep_folder import SweepFolder, update_saved_plan
from search.study.phases import Phases
from search.study.session_versions import note_versions
from search.study.summary import summarise
from search.study.sweep_study import SLOTS, START_FROM, SweepStudy
from search.tracking.open_tracker import begin_run, earlier_run_id
from search.tracking.tracker import DELIVERY_TIMEOUT_SECONDS, Tracker, check_uri
from trainable.inputs.prepare import TokenizedDataset
from trainable.store.files import remove_leftovers


def run_sweep(
    plan: Plan,
    folder: SweepFolder,
    prepared: Mapping[DataUse, TokenizedDataset],
    address: str | None,
    dry_run: DryRunProcess | None = None,
    began: float | None = None,
) -> Outcome:
    """Search, repeat the finalists, choose and test the winner, save the outcome; finished trials do not run again."""
    remove_leftovers(folder.storage)
    stop, resume = StopRequest(), folder.command("resume")
    with (
        explain_full_disk(folder.storage),
        explain_locked_study(folder.study, resume),
        output_to_file(folder.log, private=plan.settings.has_secret) as console,
        ExitStack() as closing,
    ):
        study = _open_study(plan, folder, prepared)
        budget = Budget(plan, study, began)
        _check_tracking(plan, folder, study)  # before Ray starts, which takes longer
        _print_findings(plan, prepared, console)
        try:
            show = partial(console.print, markup=False, soft_wrap=True)
            connection.join(address, plan.settings, show)
            remove_unneeded_checkpoints(folder, plan, study)
            with stop_if_ray_dies(stop, HEAD_NODE_TIMEOUT_SECONDS if address else 0, resume, show):
                if address:
                    wait_for_workers(plan.settings, show)
                capacity = capacity_for(plan.settings)
                plan, tracker, times = preflight.run_preflight(
                    plan, folder, capacity, study, console, dry_run, budget.seconds
                )
                closing.enter_context(tracker)
                mlflow_trials = MlflowTrials(plan, study, tracker)
                capacity = limit_to_memory(capacity, plan.settings, study.user_attr(preflight.TRIAL_BYTES, 0))
                parts = SweepParts(
                    plan, folder, study, budget, stop, mlflow_trials, capacity, Slots(capacity.slots), times
                )
                phases = _store_start(parts, tracker, prepared)
                baselines = BaselineRun(plan, folder, capacity, dry_run)
                with phases.phase("search"):
                    _search(parts, console, own_ray=address is None)
                if not stop.requested:
                    baselines.wait()
        finally:
            _leave_ray(folder, study, stop)
        remove_unneeded_checkpoints(folder, plan, study)
        if not stop.requested:
            show("All trials have ended: choosing the winner, scoring it on the test split, writing the report")
        outcome = _finish_and_save(parts, tracker, phases)
    _raise_if_incomplete(outcome, stop, folder, plan.settings)
    return outcome


def _open_study(plan: Plan, folder: SweepFolder, prepared: Mapping[DataUse, TokenizedDataset]) -> SweepStudy:
    """Open the study; store in it the trials of `start_from` and the versions of this session."""
    study = SweepStudy(folder.study, plan.settings, plan.space, plan.base.get("seed", 0))
    if plan.settings.start_from and study.user_attr(START_FROM) is None:
        study.set_user_attr(START_FROM, load_earlier_trials(plan, folder.storage, prepared))
    note_versions(study)
    return study


def _check_tracking(plan: Plan, folder: SweepFolder, study: SweepStudy) -> None:
    """Check the address of MLflow, unless an earlier session has already begun the sweep's run."""
    if earlier_run_id(plan, folder, study) is None:
        check_uri(plan.tracking_uri(folder.storage))


def _print_findings(plan: Plan, prepared: Mapping[DataUse, TokenizedDataset], console: Console) -> None:
    """Print notable facts about the data and the encoders."""
    for sentence in (*summarise_data(prepared).sentences[1:], *summarise_encoders(plan).sentences[1:]):
        console.print(sentence, markup=False, highlight=False, soft_wrap=True)


def _store_start(parts: SweepParts, tracker: Tracker, prepared: Mapping[DataUse, TokenizedDataset]) -> Phases:
    """Store the start of the search in MLflow, in the study and in the sweep's folder."""
    parts.study.set_user_attr("run_id", begin_run(tracker, parts.plan, parts.study, prepared))
    save_view(parts.plan, parts.folder, tracker)
    parts.study.set_user_attr(SLOTS, parts.capacity.slots)
    update_saved_plan(parts.folder, parts.plan.to_mapping())
    return Phases(parts.study)


def _search(parts: SweepParts, console: Console, own_ray: bool) -> None:
    """Run the trials of this session; `own_ray` says whether this process has started Ray."""
    use_waiting_processes(inherits=own_ray)
    skip_snapshots_at_checkpoints()
    run_session(parts, console)


def _leave_ray(folder: SweepFolder, study: SweepStudy, stop: StopRequest) -> None:
    """Shut down Ray, or leave the cluster; copy Ray's logs first if something went wrong."""
    if stop.problem or any(record.state is State.LOST for record in study.records):
        connection.copy_logs(folder.ray_logs)
    connection.leave()


def _finish_and_save(parts: SweepParts, tracker: Tracker, phases: Phases) -> Outcome:
    """Choose and test the winner, unless the sweep was stopped early, and save the outcome."""
    plan, folder, study, stopped = parts.plan, parts.folder, parts.study, parts.stop.requested
    if stopped:
        outcome = summarise(plan, folder.storage, study)
    else:
        with phases.phase("finish"):
            outcome = finish(plan, folder, study, parts.mlflow_trials, tracker)
    outcome = replace(outcome, phases=phases.read())
    if not stopped:
        outcome = report_outcome(outcome, folder, tracker)
    # A user who interrupts a sweep does not want to wait. A resume delivers the rest.
    outcome = save_and_deliver(
        outcome, folder, tracker, DELIVERY_TIMEOUT_SECONDS / 10 if stopped else DELIVERY_TIMEOUT_SECONDS
    )
    study.set_user_attr("run_id", outcome.run_id)
    return outcome


def _raise_if_incomplete(outcome: Outcome, stop: StopRequest, folder: SweepFolder, settings: SweepSettings) -> None:
    """Raise an error with the reason if the sweep could not complete; Ctrl-C raises none."""
    if stop.problem:
        raise StoppedError(f"{stop.problem}, then `{folder.command('resume')}`")
    if not stop.requested and not outcome.complete:
        more = folder.command(*settings.command_for_more(1))
        raise StoppedError(ALL_LOST.format(logs=folder.ray_logs, more=more))
