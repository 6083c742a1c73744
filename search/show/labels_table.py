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
    console.print(Text(labels_text(curve, metric)))


def labels_text(curve: LabelsCurve, metric: str) -> str:
    """Return what the numbers of the curve are, and what they say."""
    draws = f"{curve.draws} draws" if curve.draws > 1 else "1 draw"
    return f"Mean {metric} of up to {draws} of the rows, with its 95 % interval. {curve.sentence}".strip()


def labels_table(curve: LabelsCurve) -> RichTable:
    """Return a table with a line for each number of rows; a column without any score is left out."""
    table = text_table("rows of each class" if curve.per_class else "rows", *labels_columns(curve))
    for row in labels_rows(curve):
        table.add_row(*row)
    return table


def labels_columns(curve: LabelsCurve) -> dict[str, list[Estimate | None]]:
    """Return the estimates of each column of the table that has any, one for each number of rows."""
    columns = {
        "with the source": [point.with_source for point in curve.points],
        "without": [point.without_source for point in curve.points],
        "difference": [point.difference for point in curve.points],
    }
    return {name: estimates for name, estimates in columns.items() if any(estimates)}


def labels_rows(curve: LabelsCurve) -> list[tuple[str, ...]]:
    """Return the cells of the table: the number of rows, then the columns."""
    cells = [
        [_cell(estimate, "+" if name == "difference" else "") for estimate in estimates]
        for name, estimates in labels_columns(curve).items()
    ]
    return [(str(point.rows), *(column[place] for column in cells)) for place, point in enumerate(curve.points)]


def _cell(estimate: Estimate | None, sign: str) -> str:
    if estimate is None:
        return format_score(None)
    if estimate.low is None:
        return f"{estimate.mean:{sign}.3f}"
    return f"{estimate.mean:{sign}.3f} ({estimate.low:{sign}.3f}, {estimate.high:{sign}.3f})"
