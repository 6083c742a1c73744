"""Prints the labels curve of a sweep as a table."""

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from search.record.labels_curve import Estimate, LabelsCurve
from search.show.text_table import text_table
from search.wording import format_score


def print_labels_curve(curve: LabelsCurve, metric: str, console: Console) -> None:
    """Print the mean score of each number of training rows with its 95 % interval, and what they say."""
    console.print(Text("\nHow many labels are needed?", style="bold"))
    console.print(labels_table(curve))
    draws = f"{curve.draws} draws" if curve.draws > 1 else "1 draw"
    console.print(Text(f"Mean {metric} of up to {draws} of the rows, with its 95 % interval. {curve.sentence}".strip()))


def labels_table(curve: LabelsCurve) -> RichTable:
    """Return a table with a line for each number of rows; a column without any score is left out."""
    rows = "rows of each class" if curve.per_class else "rows"
    columns = {
        "with the source": [point.with_source for point in curve.points],
        "without": [point.without_source for point in curve.points],
        "difference": [point.difference for point in curve.points],
    }
    shown = {name: estimates for name, estimates in columns.items() if any(estimates)}
    table = text_table(rows, *shown)
    for index, point in enumerate(curve.points):
        signed = {name: "+" if name == "difference" else "" for name in shown}
        table.add_row(str(point.rows), *(_cell(shown[name][index], signed[name]) for name in shown))
    return table


def _cell(estimate: Estimate | None, sign: str) -> str:
    if estimate is None:
        return format_score(None)
    if estimate.low is None:
        return f"{estimate.mean:{sign}.3f}"
    return f"{estimate.mean:{sign}.3f} ({estimate.low:{sign}.3f}, {estimate.high:{sign}.3f})"
