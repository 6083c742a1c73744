"""What a running trial does now, and the lines of the live view about it."""

from __future__ import annotations

from dataclasses import dataclass

from rich.table import Table as RichTable
from rich.text import Text

from search.record.records import TrialRecord
from search.show.states import state_text
from search.wording import format_duration, format_number, format_score, whole_percent

_WIDTHS = {"trial": 11, "does": 26, "left": 11, "steps/s": 7}
"""Widths of the columns before the score, so that the tables of several trials line up in 80 columns."""


@dataclass(frozen=True)
class Activity:
    """What a running trial does now."""

    does: str
    """A stage, such as `target`; or what it waits for, such as `waits for a free slot`."""
    waits: bool = False
    """Whether it waits for a slot, or for the source stage of another trial."""
    done: float | None = None
    """Part of the stage that is done, 0 to 1."""
    steps_per_second: float | None = None
    """Optimiser steps of the stage; None before two reports of it."""
    seconds_left: float | None = None
    """Estimated seconds to the end of the stage; None before two reports of it."""

    @property
    def text(self) -> str:
        """Return the stage with its progress, or what the trial waits for."""
        return self.does if self.done is None else f"{self.does} {whole_percent(self.done)}"


def activity_table(metric: str) -> RichTable:
    """Return an empty table with a heading; the tables of `activity_row` line up with it."""
    table = _table(max(len(metric), 6))
    table.add_row(*(Text(name, style="dim") for name in (*_WIDTHS, metric)))
    return table


def activity_row(record: TrialRecord, activity: Activity | None, metric: str) -> RichTable:
    """Return a line about a trial: what it does or how it ended, the time left of its stage, its pace, its score."""
    table = _table(max(len(metric), 6))
    left = pace = ""
    what = state_text(record.state)
    if activity and not record.ended:
        what = Text(activity.text, style=what.style if not activity.waits else "blue")
        left = "" if activity.seconds_left is None else format_duration(activity.seconds_left)
        pace = "" if activity.steps_per_second is None else format_number(activity.steps_per_second)
    elif record.state == "stopped":
        what.append(f" at {whole_percent(record.progress)}")
    table.add_row(record.title.removeprefix("trial "), what, left, pace, format_score(record.value))
    return table


def _table(score_width: int) -> RichTable:
    table = RichTable.grid(padding=(0, 2, 0, 0))
    for name, width in _WIDTHS.items():
        table.add_column(width=width, no_wrap=True, justify="right" if name in ("left", "steps/s") else "left")
    table.add_column(width=score_width, no_wrap=True, justify="right")
    return table
