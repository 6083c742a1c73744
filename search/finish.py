"""The end of a sweep: the winner on validation, its test score read once, and whether the source helped."""

import json
from dataclasses import replace
from pathlib import Path

import torch
from torch.nn import functional

from search.chatter import to_file
from search.foundations import version_notes
from search.ledger import EXHAUSTED, START_FROM, Ledger
from search.outbox import count_waiting
from search.phases import PHASES
from search.place import Place, load_facts, with_waiting
from search.plan import Plan
from search.records import Outcome, State, TestScore, count_states
from search.redaction import redact
from search.runs import TrialRuns
from search.selection import compare_sources, pick_run, pick_winner, score_of, trial_config
from search.store_uri import default_uri
from search.story import SCORE, Story
from search.tracking import PATIENCE, Tracker, check_uri
from trainable.checkpoint import load_trained
from trainable.device import pick_device, resolve_precision
from trainable.errors import ConfigError
from trainable.evaluate import predict, score
from trainable.files import write_file
from trainable.inputs import token_inputs
from trainable.metrics import bootstrap_interval, mean_interval, per_class
from trainable.prepare import stage_data
from trainable.workspace import Workspace

ALL_LOST = (
    "every trial was lost: their processes died, again and again; {logs} holds what they said last. See to what ends "
    "them, then let further trials run: `{extend}`"
)


def finish(plan: Plan, storage: Path, ledger: Ledger, runs: TrialRuns, tracker: Tracker) -> Outcome:
    """Close a sweep that has nothing left to do: end what the budget cut off, read the test split, record it all."""
    for record in [record for record in ledger.records if not record.ended]:
        ledger.end(record.key, State.STOPPED)
        runs.close(record.key)
    runs.reconcile()
    winner = pick_winner(plan, ledger.records)
    test = None
    if winner is not None:
        run = pick_run(plan, ledger.records, winner)
        checkpoint = run.checkpoint_in(ledger.folder)
        assert checkpoint is not None  # it has finished
        encoder = trial_config(plan, run).encoder
        test = test_score(checkpoint, plan.workspace(storage), plan.settings.metric, encoder)
    records = ledger.records
    lost = bool(records) and all(record.state is State.LOST for record in records)
    outcome = summarise(plan, storage, ledger, test, complete=not lost)
    _close(outcome, tracker)
    return outcome


def summarise(
    plan: Plan, storage: Path, ledger: Ledger, test: TestScore | None = None, complete: bool = False
) -> Outcome:
    """What a sweep has come to, by its study."""
    records = ledger.records
    winner = pick_winner(plan, records)
    run = pick_run(plan, records, winner) if winner else None
    return Outcome(
        name=plan.settings.name,
        storage=str(storage),
        tracking_uri=redact(tracking_uri(plan, storage)),
        run_id=ledger.noted("run_id"),
        metric=plan.settings.metric,
        direction=plan.settings.direction,
        trials=tuple(records),
        winner=winner.number if winner else None,
        exported=run.key if run else None,
        winner_config=trial_config(plan, run).to_flat() if run else {},
        validation=score_of(records, winner.number) if winner else None,
        test=test,
        comparison=compare_sources(plan, records),
        seconds=ledger.noted("seconds_spent", 0.0),
        worker_hours=sum(r.seconds for r in records) * plan.settings.workers_per_trial / 3600,
        phases=ledger.noted(PHASES, {}),
        slots=ledger.noted("slots", 0),
        budget=plan.settings.model_dump(include={"trials", "minutes", "worker_hours"}),
        notes=tuple(_notes(plan, storage, ledger, complete)),
        complete=complete,
    )


def tracking_uri(plan: Plan, storage: Path) -> str:
    """Where MLflow records a sweep."""
    return plan.settings.tracking_uri or default_uri(storage)


def test_score(checkpoint: Path, workspace: Workspace, metric: str, encoder: str | None = None) -> TestScore | None:
    """Scores of a finished trial's model on the target's test split, or None where there is no such split.

    `encoder` is where that lies now, if not where it lay in training.
    """
    model, config = load_trained(checkpoint, encoder)
    prepared = stage_data(config, config.target, workspace)
    if "test" not in prepared.splits:
        return None
    device = pick_device()
    split = token_inputs(prepared.splits["test"], config.target)
    logits = predict(
        torch.nn.Module.to(model, device), split.inputs, device, resolve_precision(config.precision, device)
    )
    metrics, counts = score(logits, split.labels)
    if metric == "loss":  # no function of the confusion counts
        rows = functional.cross_entropy(logits, torch.from_numpy(split.labels), reduction="none")
        low, high = mean_interval(rows.double().numpy())
    else:
        low, high = bootstrap_interval(counts, metric)
    lines = per_class(counts, prepared.label_names)
    predicted = set(logits.argmax(-1).tolist())
    never = tuple(line["label"] for i, line in enumerate(lines) if line["rows"] and i not in predicted)
    return TestScore(metrics, low, high, len(split.labels), lines, never)


def opened_run(plan: Plan, place: Place, ledger: Ledger) -> str | None:
    """The id of the sweep's MLflow run, if an earlier session has opened it where the plan has it."""
    same = load_facts(place)["sweep"].get("tracking_uri") == plan.settings.tracking_uri
    run_id: str | None = ledger.noted("run_id") if same else None
    return run_id


def open_tracker(plan: Plan, place: Place, ledger: Ledger) -> Tracker:
    """The tracker of a sweep, which tells again from the study what MLflow has lost.

    Raises:
        ConfigError: if its URI cannot be opened, and no earlier session has opened it.
    """
    uri, facts, story = tracking_uri(plan, place.storage), load_facts(place), Story(plan, ledger)
    run_id = opened_run(plan, place, ledger)
    return Tracker(uri, place.outbox, place.name, facts["id"], plan.settings.system_metrics, run_id, story)


def write_down(outcome: Outcome, place: Place, tracker: Tracker, patience: float) -> Outcome:
    """Write the outcome, then wait for MLflow; returns it with a note where MLflow has not taken everything.

    Args:
        outcome: what the sweep has come to.
        place: where it lies.
        tracker: what delivers.
        patience: seconds without any delivery after which the rest is left in the outbox.
    """
    _write(outcome, place)
    tracker.wait(patience)
    if tracker.run_id != outcome.run_id:
        outcome = replace(outcome, run_id=tracker.run_id)
        _write(outcome, place)
    if tracker.refused:
        note = f"MLflow refused {len(tracker.refused)} events, which it lacks now: {tracker.refused[0]}"
        outcome = replace(outcome, notes=(*outcome.notes, note))
        _write(outcome, place)
    return with_waiting(outcome, place)


def deliver_rest(outcome: Outcome, plan: Plan, place: Place) -> Outcome:
    """Tell MLflow what it has not heard of a complete sweep or has lost; returns the outcome as `write_down` does.

    Raises:
        ConfigError: if events wait for MLflow, and it does not answer.
    """
    waiting = count_waiting(place.outbox)
    if outcome.run_id is None and not waiting:
        return outcome
    try:
        check_uri(tracking_uri(plan, place.storage))
    except ConfigError:
        if waiting:
            raise
        return outcome
    with to_file(place.log, private=plan.settings.has_secret):
        ledger = Ledger(place.study, plan.settings, plan.space, plan.base.get("seed", 0))
        with open_tracker(plan, place, ledger) as tracker:
            TrialRuns(plan, ledger, tracker).reconcile()
            tracker.wait(PATIENCE)
            if tracker.run_id != outcome.run_id:  # MLflow had lost it
                _close(outcome, tracker)
            outcome = write_down(outcome, place, tracker, PATIENCE)
            ledger.note("run_id", outcome.run_id)
            return outcome


def _write(outcome: Outcome, place: Place) -> None:
    write_file(place.outcome, lambda into: into.write_text(json.dumps(outcome.to_json(), indent=1), encoding="utf-8"))


def _close(outcome: Outcome, tracker: Tracker) -> None:
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
    # Last: an artifact store that is away holds up nothing else.
    tracker.log_text(None, json.dumps(outcome.to_json(), indent=2), "outcome.json")


def _notes(plan: Plan, storage: Path, ledger: Ledger, complete: bool) -> list[str]:
    """What a reader of the outcome should know beside it."""
    searched = sum(r.role == "search" for r in ledger.records)
    notes = [ledger.noted(START_FROM)["note"]] if ledger.noted(START_FROM) else []
    notes += version_notes(ledger)
    if not complete:
        return [
            *notes,
            "the sweep is not at its end: the winner is the best so far, and no test score has been read; "
            f"`{Place(storage, plan.settings.name).command('resume')}` goes on",
        ]
    if searched == plan.settings.trials:
        return notes
    if ledger.noted(EXHAUSTED) == searched:
        tried = (
            f"every point of the space has been tried, in {searched} of sweep.trials = {plan.settings.trials} trials"
        )
        return [*notes, tried]
    return [*notes, f"{searched} of {plan.settings.trials} trials were begun before the budget was used up"]
