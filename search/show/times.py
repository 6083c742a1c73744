"""Where a sweep's time went: the phases of its driver, and what the slots did during the search."""

from collections import Counter

from rich.console import Console
from rich.text import Text

from search.record.records import Outcome
from search.record.times import sum_times
from search.show.text_table import text_table

PART_COLUMNS = ("part", "seconds", "share", "tokens/s", "padding", "of peak")
WAITING = "waiting within a trial"
"""Time of trials in none of their parts: they wait for a source stage that another process trains, and report."""
BETWEEN = "between trials"
"""Time of slots without a trial: they start, or wait for the driver."""
AT_THE_END = "after the last start"
"""Time of slots without a trial when the last trial of the search and of the repeats had started."""


def print_times(outcome: Outcome, console: Console) -> None:
    """Print two tables: the phases' seconds, and the shares of the slots' time with their tokens a second."""
    phases = text_table("phase", "seconds", title=f"{outcome.name}: wall time")
    for row in phase_rows(outcome):
        phases.add_row(*row)
    console.print(phases)
    parts = text_table(*PART_COLUMNS, gap=2, title=parts_title(outcome))
    for row in part_rows(outcome):
        parts.add_row(*row)
    console.print(parts)
    for note in time_notes(outcome):
        console.print(Text(note))


def parts_title(outcome: Outcome) -> str:
    """Return the title of the table of parts."""
    return f"{outcome.slots} {'slot' if outcome.slots == 1 else 'slots'} during the search"


def phase_rows(outcome: Outcome) -> list[tuple[str, ...]]:
    """Return the phases of the driver with their seconds."""
    return [(name, f"{seconds:.1f}") for name, seconds in outcome.phases.items()]


def part_rows(outcome: Outcome) -> list[tuple[str, ...]]:
    """Return what the slots did during the search, under `PART_COLUMNS`, the longest first."""
    total = sum_times(record.times for record in outcome.trials)
    spent = sum(sums["seconds"] for sums in total.values())
    available = outcome.slot_seconds or outcome.phases.get("search", 0.0) * outcome.slots
    if available < spent:  # a session that was killed has stored no time of its search, so shares are unknown
        available = 0.0
    rows: list[tuple[str, ...]] = []
    for name, sums in sorted(total.items(), key=lambda item: -item[1]["seconds"]):
        seconds, computed = sums["seconds"], sums.get("computed", 0)
        speed = f"{sums['tokens'] / seconds:,.0f}" if computed and seconds else ""
        padding = f"{1 - sums['tokens'] / computed:.1%}" if computed else ""
        peak = f"{sums['ideal'] / seconds:.0%}" if sums.get("ideal") and seconds else ""
        rows.append((name, f"{seconds:.1f}", f"{seconds / available:.1%}" if available else "", speed, padding, peak))
    if available:
        within = max(0.0, min(available, sum(record.seconds for record in outcome.trials)) - spent)
        tail = min(outcome.tail_seconds, available - spent - within)
        idle = {WAITING: within, BETWEEN: available - spent - within - tail, AT_THE_END: tail}
        rows += [(name, f"{part:.1f}", f"{part / available:.1%}", "", "", "") for name, part in idle.items()]
    return rows


def time_notes(outcome: Outcome) -> list[str]:
    """Return why trials took more time than necessary, each reason once."""
    counts = Counter(note for record in outcome.trials for note in record.notes)
    return [f"{note} ({count} {'trial' if count == 1 else 'trials'})" for note, count in counts.items()]
