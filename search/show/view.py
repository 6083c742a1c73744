"""The sweep while it runs: a live panel in a terminal, plain lines anywhere else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table as RichTable
from rich.text import Text

from search.record.records import State, TrialRecord, best_so_far, count_states
from search.record.scores import Baseline
from search.record.trial_names import Key, Role
from search.show.text_table import text_table
from search.wording import format_duration, format_score, format_settings, last_line
from trainable.metrics.metric import Direction

STYLES = {
    State.RUNNING: "cyan",
    State.PAUSED: "blue",
    State.FINISHED: "green",
    State.STOPPED: "yellow",
    State.FAILED: "red",
    State.LOST: "magenta",
}
_LAST = 5  # trials named in the panel


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
    ) -> None:
        """Show the current state.

        Args:
            records: the trials.
            used: the part of the budget that is used up.
            time_left: estimated seconds to the end; None while it is not known.
            baselines: the baselines so far, best first.
        """
        if self._console.is_terminal:
            self._live.update(self._panel(records, used, time_left, baselines))
            return
        for baseline in baselines:
            if baseline.name not in self._told:
                self._told.add(baseline.name)
                self._line(f"baseline {baseline.title}: {self._metric} {format_score(baseline.value)}")
        for record in records:
            if record.ended and record.key not in self._told:
                self._told.add(record.key)
                self._line(self._ended(record, records))

    def _ended(self, record: TrialRecord, records: Sequence[TrialRecord]) -> str:
        best = best_so_far(records, self._direction)
        mark = " (best so far)" if best and best.key == record.key else ""
        what = last_line(record.error) if record.error else format_settings(record.params)
        reached = f"{self._metric} {format_score(record.value)}{mark}"
        return f"{record.title} {record.state}: {reached}, {format_duration(record.seconds)}; {what}"

    def _line(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _panel(
        self,
        records: Sequence[TrialRecord],
        used: BudgetUsed,
        time_left: float | None,
        baselines: Sequence[Baseline],
    ) -> RenderableType:
        facts = RichTable.grid(padding=(0, 2))
        facts.add_column(style="dim", no_wrap=True)
        facts.add_column(overflow="fold")
        facts.add_row("trials", counts_text(records))
        facts.add_row("best so far", self._best(records))
        if baselines:
            best = baselines[0]
            facts.add_row("best baseline", f"{self._metric} {format_score(best.value)}: {best.title}")
        spent = f"{used.trials} trials, {used.minutes:.1f} min, {used.worker_hours:.2f} worker-hours"
        facts.add_row("used", f"{spent} of {self._budget}")
        facts.add_row("time left", "unknown yet" if time_left is None else f"about {format_duration(time_left)}")
        facts.add_row("log", Text(self._log_file))
        title = Text(f"transfersweep: {self._name}")
        return Panel(Group(facts, Text(), self._recent(records)), title=title, box=box.ROUNDED)

    def _best(self, records: Sequence[TrialRecord]) -> Text:
        best = best_so_far(records, self._direction)
        if best is None:
            return Text("none yet")
        return Text(f"{self._metric} {format_score(best.value)} in trial {best.number}: {format_settings(best.params)}")

    def _recent(self, records: Sequence[TrialRecord]) -> RichTable:
        """Return the running trials, then those that began last."""
        running = [r for r in records if r.state is State.RUNNING]
        others = [r for r in records if r.state is not State.RUNNING]
        table = text_table("trial", "state", self._metric, "done", "settings", gap=2, framed=False)
        for record in [*running, *reversed(others)][:_LAST]:
            what = last_line(record.error) if record.error else format_settings(record.params)
            cut = Text(what, no_wrap=True, overflow="ellipsis")
            state = state_text(record.state)
            table.add_row(
                record.title.removeprefix("trial "), state, format_score(record.value), f"{record.progress:.0%}", cut
            )
        return table


def state_text(state: State, has_driver: bool = True) -> Text:
    """Return a state in its colour; without a driver no trial runs, so `running` is shown as `unfinished`."""
    word = "unfinished" if state is State.RUNNING and not has_driver else state.value
    return Text(word, style=STYLES[state])


def states_text(records: Sequence[TrialRecord], has_driver: bool = True) -> Text:
    """Return the number of trials in each state that occurs, such as `3 finished, 1 failed`."""
    counts = count_states(records)
    parts = [Text.assemble(f"{counts[s]} ", state_text(s, has_driver), style=STYLES[s]) for s in State if counts[s]]
    return Text(", ").join(parts) if parts else Text("no trials")


def counts_text(records: Sequence[TrialRecord], has_driver: bool = True) -> Text:
    """Return the search trials by state; after them repeats and trials of the labels curve, if there are any."""
    titles: dict[Role, str] = {"search": "", "labels": "labels curve: "}
    groups: dict[str, list[TrialRecord]] = {"": []}
    for record in records:
        groups.setdefault(titles.get(record.role, "repeats of finalists: "), []).append(record)
    return Text("; ").join(Text.assemble(title, states_text(group, has_driver)) for title, group in groups.items())
