"""What a report consists of: sections with texts, tables and figures. The template only lays them out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

Row = tuple[str, ...]

_ORDER = [[0.0, "#56b4e9"], [1.0, "#d55e00"]]
"""Colours from low to high, or from early to late, that are clear on white and on black."""
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Okabe and Ito's palette, which people with colour blindness can tell apart; without yellow, invisible on white."""


@dataclass(frozen=True)
class Table:
    """A table; the first column names the rows."""

    caption: str
    columns: Row
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Figure:
    """A plot of Plotly."""

    title: str
    description: str
    """What is to be seen, for those who do not see it."""
    plot: dict[str, Any]
    """Plotly's `data` and `layout`."""
    table: Table | None = None
    """The numbers of the plot, where no other table of the section has them."""
    is_wide: bool = False
    """Whether it needs the whole width of the page, on a phone a scroll bar of its own, and white paper: its colours
    are chosen for that."""


@dataclass(frozen=True)
class Section:
    """A part of the report under one heading."""

    title: str
    texts: Sequence[str] = ()
    tables: Sequence[Table] = ()
    figures: Sequence[Figure] = ()

    @property
    def is_empty(self) -> bool:
        """Return whether there is nothing to read or to see."""
        return not (self.texts or self.tables or self.figures)


def as_figure(
    plot: go.Figure, title: str, description: str, table: Table | None = None, is_wide: bool = False
) -> Figure:
    """Return a figure without Plotly's own title and colours of the page, which the report sets itself."""
    plot.update_layout(template="none", title=None, colorway=_COLOURS, margin={"l": 64, "r": 16, "t": 24, "b": 40})
    plot.update_layout(legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0})
    plot.update_xaxes(automargin=True, exponentformat="power")
    plot.update_yaxes(automargin=True)
    if not is_wide:
        plot.for_each_trace(_recolour)
    values: dict[str, Any] = json.loads(plot.to_json())
    return Figure(title, description, values, table, is_wide)


def _recolour(trace: Any) -> None:
    """Give the markers of a trace colours that are clear on white and on black."""
    marker = getattr(trace, "marker", None)
    if marker is not None and marker.colorscale:
        marker.update(colorscale=_ORDER)
