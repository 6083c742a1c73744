"""Shows in MLflow what a sweep has found: the end of its run, the results of its trials, and a view of the page."""

import json
from collections.abc import Sequence
from typing import Literal

from search.plan.plan import Plan
from search.record.records import Outcome, State, TrialRecord, count_states
from search.storage.sweep_folder import SweepFolder, load_saved_plan
from search.study.ranks import finalist_numbers, rank_trials
from search.tracking.description import describe
from search.tracking.mlflow_events import TrialResult
from search.tracking.replay import SCORE, all_settings
from search.tracking.saved_view import view_state
from search.tracking.tracker import Tracker


def save_view(plan: Plan, folder: SweepFolder, tracker: Tracker, ranked: bool = False) -> None:
    """Store the view of the sweep's trials; `ranked` says whether they have ranks, else their scores order them."""
    sweep_id = load_saved_plan(folder)["id"]
    tracker.save_view(view_state(sweep_id, plan.space.names, plan.settings.direction, ranked))


def end_sweep(outcome: Outcome, plan: Plan, folder: SweepFolder, tracker: Tracker) -> None:
    """End the sweep's run with its final metrics, and show the results of its trials.

    A sweep without a winner has failed.
    """
    won = outcome.winner is not None or outcome.winning_baseline is not None
    state = State.LOST if not outcome.complete else State.FINISHED if won else State.FAILED
    tracker.end_sweep(state, _metrics(outcome), _tags(outcome))
    show_results(outcome, plan, folder, tracker)
    # Last, so that an unreachable artifact store delays nothing else.
    tracker.log_text(None, json.dumps(outcome.to_json(), indent=2), "outcome.json")
    tracker.log_text(None, json.dumps(_settings(plan, outcome.trials), indent=2), "settings.json")


def show_results(outcome: Outcome, plan: Plan, folder: SweepFolder, tracker: Tracker) -> None:
    """Show the results of the trials in their runs, describe the sweep, and order its view by rank.

    Doing it again changes nothing.
    """
    ranks, among = rank_trials(plan, outcome.trials, outcome.winner), finalist_numbers(plan, outcome.trials)
    runs = [outcome.record(key) for key in ranks]
    tracker.rank([TrialResult(run.key, ranks[run.key], _result(run, outcome, among)) for run in runs])
    tracker.write_note(describe(outcome, [r for r in runs if r.role == "search"], plan.space.names, folder))
    save_view(plan, folder, tracker, ranked=True)


def _result(run: TrialRecord, outcome: Outcome, finalists: set[int]) -> Literal["winner", "finalist", "repeat", ""]:
    if run.role != "search":
        return "repeat"
    if run.number == outcome.winner:
        return "winner"
    return "finalist" if run.number in finalists else ""


def _metrics(outcome: Outcome) -> dict[str, float]:
    metrics = {"trials": float(len(outcome.searched)), "repeats": float(len(outcome.repeats))}
    metrics |= {f"trials.{state}": float(count) for state, count in count_states(outcome.searched).items()}
    metrics["worker_hours"] = outcome.worker_hours
    if outcome.winner is not None and (value := outcome.record(outcome.winner).value) is not None:
        metrics[SCORE] = value
    elif baseline := outcome.winner_as_baseline:
        metrics[SCORE] = baseline.value
    for baseline in outcome.baselines:
        metrics |= {f"baseline.{baseline.name}.{name}": value for name, value in baseline.metrics.items()}
    if outcome.validation:
        metrics[f"winner.validation.{outcome.metric}"] = outcome.validation.mean
    for point in outcome.labels_curve.points if outcome.labels_curve else ():
        for name, estimate in (("with_source", point.with_source), ("without_source", point.without_source)):
            metrics |= {f"labels.{point.rows}.{name}": estimate.mean} if estimate else {}
    if outcome.test:
        metrics |= {f"winner.test.{name}": value for name, value in outcome.test.metrics.items()}
    return metrics


def _tags(outcome: Outcome) -> dict[str, str]:
    winner = outcome.winning_baseline if outcome.winner is None else outcome.winner
    tags = {"transfersweep.winner": str(winner)} if winner is not None else {}
    if outcome.gain:
        tags["transfersweep.gain"] = outcome.gain.sentence
    if outcome.comparison:
        tags["transfersweep.source"] = outcome.comparison.sentence
    return tags


def _settings(plan: Plan, trials: Sequence[TrialRecord]) -> dict[str, object]:
    """Return every setting of all trials by the trial's key: those that all have in common once, under `all`."""
    settings = {str(trial.key): all_settings(plan, trial) for trial in trials}
    first = next(iter(settings.values()), {})
    common = {n: value for n, value in first.items() if all(n in s and s[n] == value for s in settings.values())}
    own = {key: {n: value for n, value in of.items() if n not in common} for key, of in settings.items()}
    return {"all": common, "trials": own}
