"""Changes an exported folder, and compares it on the validation rows before and after each change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from search.export.facts import FolderFacts
from search.export.smaller.measure import Measured, ValidationRows, measure
from search.wording import format_score
from trainable.errors import TrialError
from trainable.metrics.metric import METRICS


@dataclass(frozen=True)
class Change:
    """A change that has not been made yet."""

    option: str
    """As the user has asked for it."""
    apply: Callable[[Path], str]
    """Changes a folder, proves that it holds what it should, and returns a sentence about both."""


@dataclass(frozen=True)
class Changed:
    """What a change did to a folder."""

    sentence: str
    metric: str
    rows: str
    """On which rows it was measured."""
    before: Measured
    after: Measured

    def sentences(self) -> list[str]:
        """Return what a person should know: the change, then score, size and times before and after."""
        return [
            self.sentence,
            f"Before: {self.metric} {self.before} (median / 95th percentile of a call on this machine).",
            f"After: {self.metric} {self.after}. Measured on {self.rows}.",
        ]


def change_folder(
    folder: Path, changes: Sequence[Change], facts: FolderFacts, rows: ValidationRows, most_loss: float
) -> tuple[Changed, ...]:
    """Make changes one after another.

    Args:
        folder: an exported folder whose answers have been verified.
        changes: the changes.
        facts: what its trial.json will say.
        rows: the validation rows.
        most_loss: how much worse the metric may be than before all changes, in its own units.

    Raises:
        TrialError: if it is worse by more than that.
    """
    measured, changed, metric = [measure(folder, facts, rows)], list[Changed](), rows.metric
    for change in changes:
        sentence = change.apply(folder)
        measured.append(measure(folder, facts, rows))
        changed.append(Changed(sentence, metric, str(rows), *measured[-2:]))
        first, last = measured[0].score, measured[-1].score
        loss = METRICS[metric].cost(last) - METRICS[metric].cost(first)
        if not loss <= most_loss:  # also true for NaN
            raise TrialError(
                f"{change.option}: {metric} on {rows} is {format_score(last)} after, "
                f"{format_score(first)} before: {format_score(loss)} worse, more than --max-loss {most_loss:g}; "
                "nothing was exported"
            )
    return tuple(changed)
