"""Describes a finished sweep in Markdown, for the page of its MLflow run."""

from collections.abc import Iterable, Sequence

from search.record.costs import limits_text
from search.record.records import Outcome, TrialRecord
from search.storage.sweep_folder import SweepFolder
from search.wording import format_number, format_score

_LISTED = 10
"""So many trials are in the table."""


def describe(outcome: Outcome, order: Sequence[TrialRecord], searched: Sequence[str], folder: SweepFolder) -> str:
    """Return the answer, the best trials, and what to do next.

    Args:
        outcome: of the sweep.
        order: its search trials, best first.
        searched: dotted names of the searched settings.
        folder: of the sweep, for commands.
    """
    paragraphs = [f"**{_winner(outcome)}**"]
    paragraphs += [outcome.passed_over.sentence] if outcome.passed_over else []
    paragraphs += [outcome.gain.sentence] if outcome.gain else []
    if outcome.test:
        test = outcome.test
        scores = f"{outcome.metric} {format_score(test.metrics[outcome.metric])} on the test split, read once"
        paragraphs.append(f"{scores}: 95 % interval {format_score(test.low)} to {format_score(test.high)}.")
    if outcome.comparison:
        paragraphs.append(f"Did the source help? {outcome.comparison.sentence}")
    if outcome.exported is not None:
        run = outcome.record(outcome.exported)
        paragraphs.append(f"The exported model is that of [{run.title}](run:{run.key}).")
    paragraphs.append(_table(order[:_LISTED], searched))
    if outcome.winner is not None or outcome.winning_baseline:
        export = folder.command("export", "--to", f"{outcome.name}-model")
        paragraphs.append(f"`{export}` writes the model to a folder.")
    return "\n\n".join(paragraphs)


def _winner(outcome: Outcome) -> str:
    if baseline := outcome.winner_as_baseline:
        scores = f"{outcome.metric} {format_score(baseline.value)} on validation"
        return f"The baseline {baseline.title} won: {scores}. No trial is better."
    if outcome.winner is None:
        within = f" within {limits_text(outcome.limits)}" if outcome.limits else ""
        return f"There is no winner: no trial has finished with a score{within}."
    link = f"[trial {outcome.winner}](run:{outcome.winner})"
    if outcome.validation is None:
        return f"The winner is {link}."
    count = len(outcome.validation.values)
    of = f"the mean of {count} runs" if count > 1 else "one run"
    return f"The winner is {link}: {outcome.metric} {format_score(outcome.validation.mean)} on validation, {of}."


def _table(trials: Sequence[TrialRecord], searched: Sequence[str]) -> str:
    head = ["trial", "state", "score", *searched]
    rows = [
        [
            f"[trial {trial.number}](run:{trial.key})",
            trial.state,
            format_score(trial.value),
            *(format_number(trial.params.get(name)) for name in searched),
        ]
        for trial in trials
    ]
    return "\n".join([_row(head), _row("---" for _ in head), *map(_row, rows)])


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
