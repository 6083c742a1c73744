"""Prints where a sweep's time went: the phases of its driver, and what the slots did during the search."""

from collections import Counter

from rich.console import Console
from rich.text import Text

from search.record.records import Outcome
from search.record.times import sum_times
from search.show.text_table import text_table


def print_times(outcome: Outcome, console: Console) -> None:
    """Print two tables: the phases' seconds, and the shares of the slots' time with their tokens a second."""
    phases = text_table("phase", "seconds", title=f"{outcome.name}: wall time")
    for name, seconds in outcome.phases.items():
        phases.add_row(name, f"{seconds:.1f}")
    console.print(phases)
    total = sum_times(record.times for record in outcome.trials)
    spent = sum(sums["seconds"] for sums in total.values())
    available = outcome.phases.get("search", 0.0) * outcome.slots
    if available < spent:  # a session that was killed has stored no time of its search, so shares are unknown
        available = 0.0
    slots = "slot" if outcome.slots == 1 else "slots"
    headings = ("part", "seconds", "share", "tokens/s", "padding", "of peak")
    parts = text_table(*headings, gap=2, title=f"{outcome.slots} {slots} during the search")
    for name, sums in sorted(total.items(), key=lambda item: -item[1]["seconds"]):
        seconds, computed = sums["seconds"], sums.get("computed", 0)
        speed = f"{sums['tokens'] / seconds:,.0f}" if computed and seconds else ""
        padding = f"{1 - sums['tokens'] / computed:.1%}" if computed else ""
        peak = f"{sums['ideal'] / seconds:.0%}" if sums.get("ideal") and seconds else ""
        parts.add_row(name, f"{seconds:.1f}", f"{seconds / available:.1%}" if available else "", speed, padding, peak)
    if available:
        parts.add_row("idle, or between trials", f"{available - spent:.1f}", f"{(available - spent) / available:.1%}")
    console.print(parts)
    for note, count in Counter(note for record in outcome.trials for note in record.notes).items():
        console.print(Text(f"{note} ({count} {'trial' if count == 1 else 'trials'})"))
