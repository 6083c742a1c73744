"""Prints the outcome of a sweep, complete or not, and the next commands."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from search.record.costs import COSTS
from search.record.records import Outcome, TrialRecord, ranked
from search.record.scores import TestScore
from search.show.labels_table import print_labels_curve
from search.show.ranking_table import ranking_table
from search.show.scores_table import print_scores
from search.show.states import counts_text, state_text
from search.show.text_table import text_table
from search.show.varying import varying_names
from search.show.winner import exported_text, validation_text, winner_text
from search.storage.driver_lock import driver_of
from search.storage.sweep_folder import SweepFolder
from search.wording import format_duration, format_number, format_score, format_settings, last_line, short_name

_MEASURING_WIDTH = 10_000  # characters


def print_outcome(outcome: Outcome, console: Console) -> None:
    """Print the whole outcome: trials, winner, test score, comparison, notes, next commands."""
    _print(console, f"Sweep {outcome.name}", style="bold")
    if outcome.gain:
        _print(console, outcome.gain.sentence)
    hours = f"{format_duration(outcome.seconds)}, {outcome.worker_hours:.2f} worker-hours"
    has_driver = driver_of(SweepFolder(Path(outcome.storage), outcome.name).path) is not None
    console.print(Text.assemble(counts_text(outcome.trials, has_driver), f"; {hours}"))
    console.print(_search_table(outcome, console, has_driver))
    if repeats := [record for record in outcome.repeats if record.role != "labels"]:
        console.print(_repeats_table(repeats, outcome.metric, has_driver))
    for record in outcome.trials:
        if record.error:
            _print(
                console,
                f"{record.title} {state_text(record.state, has_driver)}: {last_line(record.error)}",
                style="red",
            )
    if outcome.baselines:
        console.print(_baselines_table(outcome))
    _print_winner(outcome, console)
    if outcome.test:
        _print_test(outcome.test, outcome.metric, console)
    if outcome.comparison:
        _print(console, "\nDid the source help?", style="bold")
        _print(console, outcome.comparison.sentence)
    if outcome.labels_curve:
        print_labels_curve(outcome.labels_curve, outcome.metric, console)
    if outcome.moved:
        _print(console, "\nWhere its weights come from", style="bold")
        _print(console, outcome.moved)
    if outcome.ranking:
        _print(console, "\nWhich source? The ranking before the search", style="bold")
        console.print(ranking_table(outcome.ranking))
        _print(console, outcome.ranking_check or "Too few trials have finished to compare it with the search.")
    for note in outcome.notes:
        _print(console, f"Note: {note}", style="yellow")
    report = SweepFolder(Path(outcome.storage), outcome.name).report
    if outcome.complete and report.exists():
        console.print(f"\nReport: {report}", markup=False, highlight=False, soft_wrap=True)
    _print(console, "\nNext", style="bold")
    for command in next_commands(outcome):
        # Never wrapped, so that a user can copy the line.
        console.print(f"  {command}", markup=False, highlight=False, soft_wrap=True)


def next_commands(outcome: Outcome) -> list[str]:
    """Return the commands that open MLflow, show or resume the sweep, add minutes, export the winner, and go on.

    Minutes are added where they have cut trials short: twice as many.
    """
    folder, minutes = SweepFolder(Path(outcome.storage), outcome.name), outcome.budget.minutes
    commands = [folder.command("ui"), folder.command("show" if outcome.complete else "resume")]
    if outcome.complete and minutes and any(record.out_of_time for record in outcome.trials):
        commands.append(folder.command("resume", "--set", f"sweep.minutes={2 * minutes:g}"))
    if outcome.winner is not None or outcome.winning_baseline:
        commands.append(folder.command("export", "--to", f"{outcome.name}-model"))
    if outcome.complete and outcome.validation and outcome.validation.sd:
        commands.append(folder.command("suggest"))  # only differences beyond this spread are evidence
    return commands


def _print(console: Console, text: str, style: str = "") -> None:
    console.print(Text(text, style=style))


def _search_table(outcome: Outcome, console: Console, has_driver: bool) -> RichTable:
    """Return a table of the search trials, best first; with a column for each setting if they fit the console."""
    wide = _build_search_table(outcome, has_driver, in_columns=True)
    needed = console.measure(wide, options=console.options.update(width=_MEASURING_WIDTH)).maximum
    return wide if needed <= console.width else _build_search_table(outcome, has_driver, in_columns=False)


def _build_search_table(outcome: Outcome, has_driver: bool, in_columns: bool) -> RichTable:
    trials = ranked(outcome.searched, outcome.direction)
    names = varying_names(trials)
    table = text_table("#", "state", _break_name(outcome.metric), "sec", *map(_break_name, outcome.limits))
    for name in names if in_columns else ["settings"]:
        table.add_column(_break_name(short_name(name)), justify="right" if in_columns else "left", vertical="bottom")
    for trial in trials:
        shown = {name: trial.params.get(name) for name in names}
        cells = [format_number(value) for value in shown.values()] if in_columns else [format_settings(shown)]
        costs = [_cost(trial.metrics.get(COSTS[name]), limit) for name, limit in outcome.limits.items()]
        style = "bold" if trial.number == outcome.winner else None
        table.add_row(
            str(trial.number), *_state_score_seconds(trial, has_driver), *map(Text, [*costs, *cells]), style=style
        )
    return table


def _cost(value: float | None, limit: float) -> str:
    return format_number(value) + (f" > {format_number(limit)}" if value is not None and value > limit else "")


def _repeats_table(trials: Sequence[TrialRecord], metric: str, has_driver: bool) -> RichTable:
    """Return a table of the repeats: finalists with another seed, and the winner without its source."""
    table = text_table("repeat", "state", _break_name(metric), "sec")
    for trial in trials:
        table.add_row(trial.title, *_state_score_seconds(trial, has_driver))
    return table


def _baselines_table(outcome: Outcome) -> RichTable:
    """Return a table of the obvious answers, best first; the source's model takes no time of its own."""
    table = text_table("baseline", outcome.metric, "sec")
    for baseline in outcome.baselines:
        seconds = f"{baseline.seconds:.0f}" if baseline.checkpoint else "-"
        style = "bold" if baseline.name == outcome.winning_baseline else None
        table.add_row(baseline.title, format_score(baseline.value), seconds, style=style)
    return table


def _break_name(name: str) -> str:
    """Break a long name into lines (target. / learning_ / rate), so that its column is as narrow as its values."""
    return name.replace(".", ".\n").replace("_", "_\n")


def _state_score_seconds(trial: TrialRecord, has_driver: bool) -> list[str | Text]:
    return [state_text(trial.state, has_driver), format_score(trial.value), f"{trial.seconds:.0f}"]


def _print_winner(outcome: Outcome, console: Console) -> None:
    dot = "" if outcome.winner is not None or outcome.winning_baseline else "."
    _print(console, f"\n{winner_text(outcome)}{dot}", style="bold")
    passed_over = outcome.passed_over.sentence if outcome.passed_over else None
    for line in (validation_text(outcome), passed_over, exported_text(outcome)):
        if line:
            _print(console, line)
    if outcome.winner is None:
        return
    if outcome.cut_short:
        _print(console, f"{outcome.cut_short[0].upper()}{outcome.cut_short[1:]}.", style="yellow")
    for name, value in outcome.record(outcome.winner).params.items():
        _print(console, f"  {name}: {value}")


def _print_test(test: TestScore, metric: str, console: Console) -> None:
    _print(console, "\nTest split, read once", style="bold")
    print_scores(test, metric, console)
