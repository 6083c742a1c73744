"""Creates all tables that are printed, in one style."""

from rich import box
from rich.table import Table as RichTable

_TEXT = {
    "baseline",
    "class",
    "encoder",
    "metric",
    "part",
    "percentiles",
    "phase",
    "repeat",
    "settings",
    "source",
    "share of train",
    "split",
    "splits",
    "state",
    "sweep",
}
_LEFT = _TEXT | {"", "baseline", "padding_length", "tokens", "trial"}
_WRAPPED = {"baseline", "class", "part", "repeat", "settings"}
_WHOLE = {"share of train"}  # a bar and a number


def text_table(*columns: str, gap: int = 1, title: str | None = None, framed: bool = True) -> RichTable:
    """Return a table without rows: text to the left, numbers to the right.

    Columns of text, and those with a heading of several words, become narrower where the console is too narrow.

    Args:
        columns: the headings.
        gap: blanks between columns.
        title: a line above the table.
        framed: whether there is a line below the headings, and blank lines around the table.
    """
    look = box.SIMPLE_HEAD if framed else None
    table = RichTable(
        title=title,
        title_justify="left",
        min_width=len(title or ""),
        box=look,
        pad_edge=False,
        padding=(0, gap, 0, 0),
        header_style="bold" if framed else "dim",
    )
    for column in columns:
        wraps = column in _WRAPPED or (" " in column and column not in _WHOLE)
        table.add_column(column, justify="left" if column in _LEFT else "right", no_wrap=not wraps)
    return table
