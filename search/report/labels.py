"""How many labels are needed: the score by the number of training rows, with and without the source."""

from __future__ import annotations

import plotly.graph_objects as go

from search.advice.sweep import Sweep
from search.record.labels_curve import Estimate, LabelsCurve
from search.report.parts import Figure, Section, Table, as_figure
from search.show.labels_table import labels_columns, labels_rows, labels_text


def labels_section(sweep: Sweep) -> Section:
    """Return the curve of labels needed, if the sweep measured it."""
    curve = sweep.outcome.labels_curve
    if curve is None:
        return Section("How many labels are needed")
    table = Table(f"Mean {sweep.metric} by number of rows", ("rows", *labels_columns(curve)), tuple(labels_rows(curve)))
    return Section("How many labels are needed", [labels_text(curve, sweep.metric)], [table], [_figure(curve, sweep)])


def _figure(curve: LabelsCurve, sweep: Sweep) -> Figure:
    plot = go.Figure()
    for name, estimates in labels_columns(curve).items():
        if name != "difference":
            there = [(point.rows, each) for point, each in zip(curve.points, estimates, strict=True) if each]
            plot.add_scatter(
                x=[rows for rows, _ in there],
                y=[each.mean for _, each in there],
                error_y=_bars([each for _, each in there]),
                name=name,
            )
    plot.update_xaxes(title_text="rows of each class" if curve.per_class else "training rows", type="log")
    plot.update_yaxes(title_text=sweep.metric)
    text = f"The mean {sweep.metric} by the number of training rows, with 95 % intervals. The table has the numbers."
    return as_figure(plot, "Score by number of training rows", text)


def _bars(estimates: list[Estimate]) -> dict[str, object]:
    """Return the half-widths of intervals as Plotly's error bars; no bar where there is no interval."""
    return {"type": "data", "array": [None if each.high is None else each.high - each.mean for each in estimates]}
