"""The end of a sweep: chooses the winner on validation, scores it on the test split once, and saves the outcome."""

import json
from dataclasses import replace
from pathlib import Path

import torch
from torch.nn import functional

from search.engine.mlflow_trials import MlflowTrials
from search.plan.plan import Plan
from search.record.records import Outcome, State, TestScore, count_states
from search.redirect_output import output_to_file
from search.storage.outbox import count_waiting
from search.storage.sweep_folder import SweepFolder, with_waiting_note
from search.study.selection import pick_exported_trial, pick_winner, trial_config
from search.study.summary import summarise
from search.study.sweep_study import SweepStudy
from search.tracking.open_tracker import open_tracker
from search.tracking.replay import SCORE
from search.tracking.tracker import DELIVERY_TIMEOUT_SECONDS, Tracker, check_uri
from trainable.checkpoint import load_trained
from trainable.compute.device import pick_device, resolve_precision
from trainable.errors import ConfigError
from trainable.inputs.prepare import tokenized_dataset_of
from trainable.inputs.token_inputs import token_inputs
from trainable.loop.evaluate import compute_logits, score
from trainable.store.files import write_file
from trainable.tasks.metrics import bootstrap_interval, mean_interval, per_class
from trainable.workspace import Workspace

ALL_LOST = (
    "every trial was lost, because their processes died repeatedly; {logs} holds their last output. Remove the cause, "
    "then run further trials: `{extend}`"
)


def finish(plan: Plan, storage: Path, study: SweepStudy, mlflow_trials: MlflowTrials, tracker: Tracker) -> Outcome:
    """Finish a sweep: stop trials that the budget cut off, choose and test the winner, close the MLflow runs."""
    for record in [record for record in study.records if not record.ended]:
        study.end(record.key, State.STOPPED)
        mlflow_trials.close(record.key)
    mlflow_trials.reconcile()
    winner = pick_winner(plan, study.records)
    test = None
    if winner is not None:
        exported_trial = pick_exported_trial(plan, study.records, winner)
        checkpoint = exported_trial.checkpoint_in(study.folder)
        assert checkpoint is not None  # a finished trial has one
        encoder = trial_config(plan, exported_trial).encoder
        test = test_score(checkpoint, plan.workspace(storage), plan.settings.metric, encoder)
    records = study.records
    lost = bool(records) and all(record.state is State.LOST for record in records)
    outcome = summarise(plan, storage, study, test, complete=not lost)
    _end_mlflow_sweep(outcome, tracker)
    return outcome


def test_score(checkpoint: Path, workspace: Workspace, metric: str, encoder: str | None = None) -> TestScore | None:
    """Return the scores of a finished trial's model on the target's test split, or None if there is no such split.

    Args:
        checkpoint: folder of the trial's checkpoint.
        workspace: the folders of data and caches.
        metric: the metric that gets a confidence interval.
        encoder: path or name of the encoder, if it is not where it was in training.
    """
    model, config = load_trained(checkpoint, encoder)
    tokenized = tokenized_dataset_of(config, config.target, workspace)
    if "test" not in tokenized.splits:
        return None
    device = pick_device()
    split = token_inputs(tokenized.splits["test"], config.target)
    logits = compute_logits(
        torch.nn.Module.to(model, device), split.inputs, device, resolve_precision(config.precision, device)
    )
    metrics, counts = score(logits, split.labels)
    if metric == "loss":  # it cannot be computed from the confusion counts
        rows = functional.cross_entropy(logits, torch.from_numpy(split.labels), reduction="none")
        low, high = mean_interval(rows.double().numpy())
    else:
        low, high = bootstrap_interval(counts, metric)
    class_scores = per_class(counts, tokenized.label_names)
    predicted = set(logits.argmax(-1).tolist())
    never_predicted = tuple(each.label for i, each in enumerate(class_scores) if each.rows and i not in predicted)
    return TestScore(metrics, low, high, len(split.labels), class_scores, never_predicted)


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
        with open_tracker(plan, folder, study) as tracker:
            MlflowTrials(plan, study, tracker).reconcile()
            tracker.wait(DELIVERY_TIMEOUT_SECONDS)
            if tracker.run_id != outcome.run_id:  # MLflow had lost the run
                _end_mlflow_sweep(outcome, tracker)
            outcome = save_and_deliver(outcome, folder, tracker, DELIVERY_TIMEOUT_SECONDS)
            study.set_user_attr("run_id", outcome.run_id)
            return outcome


def _write_outcome(outcome: Outcome, folder: SweepFolder) -> None:
    write_file(folder.outcome, lambda into: into.write_text(json.dumps(outcome.to_json(), indent=1), encoding="utf-8"))


def _end_mlflow_sweep(outcome: Outcome, tracker: Tracker) -> None:
    metrics = {"trials": float(len(outcome.searched)), "repeats": float(len(outcome.repeats))}
    metrics |= {f"trials.{state}": float(count) for state, count in count_states(outcome.searched).items()}
    metrics["worker_hours"] = outcome.worker_hours
    if outcome.winner is not None and (value := outcome.record(outcome.winner).value) is not None:
        metrics[SCORE] = value
    if outcome.validation:
        metrics[f"winner.validation.{outcome.metric}"] = outcome.validation.mean
    if outcome.test:
        metrics |= {f"winner.test.{name}": value for name, value in outcome.test.metrics.items()}
    tags = {"transfersweep.winner": str(outcome.winner)} if outcome.winner is not None else {}
    if outcome.comparison:
        tags["transfersweep.source"] = outcome.comparison.sentence
    tracker.end_sweep(State.FINISHED if outcome.complete else State.LOST, metrics, tags)
    # Last, so that an unreachable artifact store delays nothing else.
    tracker.log_text(None, json.dumps(outcome.to_json(), indent=2), "outcome.json")
