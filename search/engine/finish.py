"""The end of a sweep: chooses the winner on validation, scores it on the test split once, and saves the outcome."""

import json
from dataclasses import replace

from search.engine.answers import keep_answers
from search.engine.latency import measure_latencies
from search.engine.mlflow_sweep import end_sweep, show_results
from search.engine.mlflow_trials import MlflowTrials
from search.engine.report import log_report
from search.engine.scoring import score_winner
from search.plan.plan import Plan
from search.record.records import Outcome, State
from search.redirect_output import output_to_file
from search.storage.outbox import count_waiting
from search.storage.sweep_folder import SweepFolder, with_waiting_note
from search.study.baselines import hold_contest
from search.study.summary import summarise
from search.study.sweep_study import SweepStudy
from search.tracking.open_tracker import open_tracker
from search.tracking.replay import Replay
from search.tracking.tracker import DELIVERY_TIMEOUT_SECONDS, Tracker, check_uri
from trainable.errors import ConfigError
from trainable.store.files import write_file

ALL_LOST = (
    "every trial was lost, because their processes died repeatedly; {logs} holds their last output. Remove the cause, "
    "then run further trials: `{more}`"
)


def finish(
    plan: Plan, folder: SweepFolder, study: SweepStudy, mlflow_trials: MlflowTrials, tracker: Tracker
) -> Outcome:
    """Finish a sweep: stop trials that the budget cut off, choose and test the winner, close the MLflow runs."""
    for record in [record for record in study.records if not record.ended]:
        study.end(record.key, State.STOPPED, out_of_time=True)
        mlflow_trials.close(record.key)
    mlflow_trials.reconcile()
    storage = folder.storage
    measure_latencies(plan, study)
    scores = score_winner(plan, storage, study, hold_contest(plan, study))
    keep_answers(scores, plan.workspace(storage), folder)
    records = study.records
    lost = bool(records) and all(record.state is State.LOST for record in records)
    outcome = summarise(plan, storage, study, scores.test, complete=not lost, gain=scores.gain)
    end_sweep(outcome, plan, folder, tracker)
    return outcome


def save_and_deliver(outcome: Outcome, folder: SweepFolder, tracker: Tracker, timeout: float) -> Outcome:
    """Write `outcome.json`, then wait for MLflow; return the outcome, with a note if MLflow lacks events.

    Args:
        outcome: the outcome of the sweep.
        folder: the sweep's folder.
        tracker: delivers the waiting events to MLflow.
        timeout: seconds without any delivery after which the rest stays in the outbox.
    """
    _write_outcome(outcome, folder)
    tracker.wait(timeout)
    if tracker.run_id != outcome.run_id:
        outcome = replace(outcome, run_id=tracker.run_id)
        _write_outcome(outcome, folder)
    if tracker.refused:
        note = f"MLflow rejected {len(tracker.refused)} events, which are now missing there: {tracker.refused[0]}"
        outcome = replace(outcome, notes=(*outcome.notes, note))
        _write_outcome(outcome, folder)
    return with_waiting_note(outcome, folder)


def deliver_rest(outcome: Outcome, plan: Plan, folder: SweepFolder) -> Outcome:
    """Send MLflow what it lacks of a complete sweep; return the outcome as `save_and_deliver` does.

    Raises:
        ConfigError: if events wait for MLflow, and it does not answer.
    """
    waiting = count_waiting(folder.outbox)
    if outcome.run_id is None and not waiting:
        return outcome
    try:
        check_uri(plan.tracking_uri(folder.storage))
    except ConfigError:
        if waiting:
            raise
        return outcome
    with output_to_file(folder.log, private=plan.settings.has_secret):
        study = SweepStudy(folder.study, plan.settings, plan.space, plan.base.get("seed", 0))
        with open_tracker(plan, folder, study, Replay(plan, study)) as tracker:
            MlflowTrials(plan, study, tracker).reconcile()
            tracker.wait(DELIVERY_TIMEOUT_SECONDS)
            if tracker.run_id != outcome.run_id:  # MLflow had lost the run
                end_sweep(outcome, plan, folder, tracker)
                log_report(folder, tracker)
            else:  # earlier versions did not show them, and a lost run of a trial lacks its result
                show_results(outcome, plan, folder, tracker)
            outcome = save_and_deliver(outcome, folder, tracker, DELIVERY_TIMEOUT_SECONDS)
            study.set_user_attr("run_id", outcome.run_id)
            return outcome


def _write_outcome(outcome: Outcome, folder: SweepFolder) -> None:
    write_file(folder.outcome, lambda into: into.write_text(json.dumps(outcome.to_json(), indent=1), encoding="utf-8"))
