"""The sweep while it runs: a live panel in a terminal, plain lines anywhere else."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table as RichTable
from rich.text import Text

from search.record.records import TrialRecord, best_so_far
from search.record.scores import Baseline
from search.record.trial_names import Key
from search.show.activity import Activity, activity_row, activity_table
from search.show.states import counts_text
from search.show.varying import varying_names
from search.wording import format_duration, format_score, format_settings, last_line
from trainable.metrics.metric import Direction

QUIET_SECONDS = 60.0
"""Without a terminal, a line says after so many silent seconds what is going on."""
_LAST = 5  # trials named in the panel
_NOTHING: Mapping[Key, Activity] = {}


@dataclass(frozen=True)
class BudgetUsed:
    """The part of its budget that a sweep has spent so far."""

    trials: int
    minutes: float
    worker_hours: float


class LiveView:
    """Shows a sweep while it runs; a context manager."""

    def __init__(
        self, name: str, metric: str, direction: Direction, budget_text: str, console: Console, log_file: str
    ) -> None:
        """Prepare the view; entering it starts to draw.

        Args:
            name: the sweep's name.
            metric: what the trials' values are.
            direction: which values are better.
            budget_text: the budget in words, such as `40 trials, 60 min`.
            console: where to draw. If it is not a terminal, each trial that ends gets one plain line.
            log_file: the file with the libraries' own messages; its name is shown.
        """
        self._name, self._metric, self._direction = name, metric, direction
        self._budget, self._console, self._log_file = budget_text, console, log_file
        self._told: set[Key] = set()
        self._last_line = time.monotonic()
        # stdout may carry the JSON of --json, so it stays as it is.
        self._live = Live(console=console, redirect_stdout=False, transient=True, refresh_per_second=4)

    def __enter__(self) -> LiveView:
        """Start drawing."""
        if self._console.is_terminal:
            self._live.start()
        else:
            self._line(f"sweep {self._name}: {self._budget}; log: {self._log_file}")
        return self

    def __exit__(self, *error: type[BaseException] | BaseException | TracebackType | None) -> None:
        """Stop drawing and leave the terminal as it was."""
        self._live.stop()

    def update(
        self,
        records: Sequence[TrialRecord],
        used: BudgetUsed,
        time_left: float | None = None,
        baselines: Sequence[Baseline] = (),
        activities: Mapping[Key, Activity] = _NOTHING,
    ) -> None:
        """Show the current state.

        Args:
            records: the trials.
            used: the part of the budget that is used up.
            time_left: estimated seconds to the end; None while it is not known.
            baselines: the baselines so far, best first.
            activities: what the running trials do.
        """
        if self._console.is_terminal:
            self._live.update(self._panel(records, used, time_left, baselines, activities))
            return
        for baseline in baselines:
            if baseline.name not in self._told:
                self._told.add(baseline.name)
                self._line(f"baseline {baseline.title}: {self._metric} {format_score(baseline.value)}")
        for record in records:
            if record.ended and record.key not in self._told:
                self._told.add(record.key)
                self._line(self._ended(record, records))
        if time.monotonic() - self._last_line > QUIET_SECONDS:
            waiting = {key for key, activity in activities.items() if activity.waits}
            self._line(f"{counts_text(records, waiting=waiting)}; {_spent(used)}; time left: {_left(time_left)}")
            for key, activity in activities.items():
                if not activity.waits:
                    self._line(f"  trial {key}: {activity.text}")

    def _ended(self, record: TrialRecord, records: Sequence[TrialRecord]) -> str:
        best = best_so_far(records, self._direction)
        mark = " (best so far)" if best and best.key == record.key else ""
        what = last_line(record.error) if record.error else format_settings(record.params)
        reached = f"{self._metric} {format_score(record.value)}{mark}"
        return f"{record.title} {record.state}: {reached}, {format_duration(record.seconds)}; {what}"

    def _line(self, text: str) -> None:
        self._last_line = time.monotonic()
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _panel(
        self,
        records: Sequence[TrialRecord],
        used: BudgetUsed,
        time_left: float | None,
        baselines: Sequence[Baseline],
        activities: Mapping[Key, Activity],
    ) -> RenderableType:
        facts = RichTable.grid(padding=(0, 2))
        facts.add_column(style="dim", no_wrap=True)
        facts.add_column(overflow="fold")
        waiting = {key for key, activity in activities.items() if activity.waits}
        facts.add_row("trials", counts_text(records, waiting=waiting))
        names = varying_names(records) if len(records) > 1 else [name for each in records for name in each.params]
        facts.add_row("best so far", self._best(records, names))
        if baselines:
            best = baselines[0]
            facts.add_row("best baseline", f"{self._metric} {format_score(best.value)}: {best.title}")
        facts.add_row("used", f"{_spent(used)} of {self._budget}")
        facts.add_row("time left", _left(time_left))
        facts.add_row("log", Text(self._log_file))
        title = Text(f"transfersweep: {self._name}")
        recent = self._recent(records, activities, names)
        return Panel(Group(facts, Text(), *recent), title=title, box=box.ROUNDED)

    def _best(self, records: Sequence[TrialRecord], names: Sequence[str]) -> Text:
        best = best_so_far(records, self._direction)
        if best is None:
            return Text("none yet")
        settings = _settings(best, names)
        return Text(f"{self._metric} {format_score(best.value)} in trial {best.number}: {settings}")

    def _recent(
        self, records: Sequence[TrialRecord], activities: Mapping[Key, Activity], names: Sequence[str]
    ) -> Iterator[RenderableType]:
        """Yield the running trials, then those that wait, then those that began last, each with its settings."""

        def place(record: TrialRecord) -> int:
            activity = activities.get(record.key)
            return 2 if record.ended else 1 if activity and activity.waits else 0

        running = sorted((record for record in records if not record.ended), key=place)
        others = [record for record in reversed(records) if record.ended]
        yield activity_table(self._metric)
        for record in [*running, *others][:_LAST]:
            yield activity_row(record, activities.get(record.key), self._metric)
            what = last_line(record.error) if record.error else _settings(record, names)
            yield Padding(Text(what, style="dim"), (0, 0, 0, 2))
        if len(running) > _LAST:
            yield Text(f"and {len(running) - _LAST} more that run or wait")


def _settings(record: TrialRecord, names: Sequence[str]) -> str:
    """Return the settings of a trial that differ between trials."""
    return format_settings({name: record.params[name] for name in names if name in record.params})


def _spent(used: BudgetUsed) -> str:
    return f"{used.trials} trials, {used.minutes:.1f} min, {used.worker_hours:.2f} worker-hours"


def _left(seconds: float | None) -> str:
    return "unknown yet" if seconds is None else f"about {format_duration(seconds)}"
