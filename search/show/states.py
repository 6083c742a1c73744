"""The states of trials in words and colours."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from rich.text import Text

from search.record.records import State, TrialRecord, count_states
from search.record.trial_names import Key, Role

STYLES = {
    State.RUNNING: "cyan",
    State.PAUSED: "blue",
    State.FINISHED: "green",
    State.STOPPED: "yellow",
    State.FAILED: "red",
    State.LOST: "magenta",
}


def state_text(state: State, has_driver: bool = True) -> Text:
    """Return a state in its colour; without a driver no trial runs, so `running` is shown as `unfinished`."""
    word = "unfinished" if state is State.RUNNING and not has_driver else state.value
    return Text(word, style=STYLES[state])


def states_text(records: Sequence[TrialRecord], has_driver: bool = True, waiting: Collection[Key] = ()) -> Text:
    """Return the number of trials in each state that occurs, such as `2 running, 1 waiting, 3 finished`."""
    waits = sum(record.key in waiting for record in records)
    counts = count_states(records)
    counts[State.RUNNING] -= waits
    parts = [Text.assemble(f"{counts[s]} ", state_text(s, has_driver), style=STYLES[s]) for s in State if counts[s]]
    if waits:
        parts.insert(bool(counts[State.RUNNING]), Text(f"{waits} waiting", style=STYLES[State.PAUSED]))
    return Text(", ").join(parts) if parts else Text("no trials")


def counts_text(records: Sequence[TrialRecord], has_driver: bool = True, waiting: Collection[Key] = ()) -> Text:
    """Return the search trials by state; after them repeats and trials of the labels curve, if there are any.

    Args:
        records: the trials.
        has_driver: whether a process runs the sweep.
        waiting: the running trials that wait for a slot, or for the source stage of another trial.
    """
    titles: dict[Role, str] = {"search": "", "labels": "labels curve: "}
    groups: dict[str, list[TrialRecord]] = {"": []}
    for record in records:
        groups.setdefault(titles.get(record.role, "repeats of finalists: "), []).append(record)
    return Text("; ").join(
        Text.assemble(title, states_text(group, has_driver, waiting)) for title, group in groups.items()
    )
