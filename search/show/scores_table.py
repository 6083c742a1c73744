"""Prints the scores of a model on the rows of a split or a file."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from search.record.scores import TestScore
from search.show.text_table import text_table
from search.wording import format_score
from trainable.data.message_text import quoted_if_unclear
from trainable.metrics.classification import ClassScores


def print_scores(scores: TestScore, metric: str, console: Console) -> None:
    """Print one metric with its interval, then the others, then those of each class."""
    console.print(Text(score_text(scores, metric)))
    others = {name: value for name, value in scores.metrics.items() if name != metric}
    if others:
        console.print(Text(", ".join(f"{name} {format_score(value)}" for name, value in others.items())))
    if scores.per_class:  # a regression has no classes
        console.print(_per_class_table(scores.per_class))
    if absent := never_predicted_text(scores):
        console.print(Text(absent, style="yellow"))


def score_text(scores: TestScore, metric: str) -> str:
    """Return one metric with its interval."""
    interval = f"95 % interval {format_score(scores.low)} to {format_score(scores.high)}"
    return f"{metric} {format_score(scores.metrics[metric])}, {interval}, {scores.rows} rows"


def never_predicted_text(scores: TestScore) -> str | None:
    """Return the classes that the model predicts for no row; None if there are none."""
    if not scores.never_predicted:
        return None
    return f"The model never predicts: {', '.join(map(quoted_if_unclear, scores.never_predicted))}"


def _per_class_table(per_class: Sequence[ClassScores]) -> RichTable:
    table = text_table("class", "precision", "recall", "f1", "rows")
    for line in per_class:
        values = map(format_score, (line.precision, line.recall, line.f1))
        table.add_row(Text(quoted_if_unclear(line.label)), *values, str(line.rows))
    return table
