"""The plots of the report as Plotly figures."""

from __future__ import annotations

from pathlib import Path

import plotly.graph_objects as go

from search.advice.sweep import Sweep
from search.record.records import Outcome
from search.report.page import sections_of
from search.storage.sweep_folder import SweepFolder


def figures(outcome: Outcome) -> dict[str, go.Figure]:
    """Return the plots of a sweep's report by their titles; each can be shown, changed and stored.

    The sweep's folder must be where it was: the plots are drawn from its study.

    Raises:
        search.errors.PlanError: if the study cannot be read.
    """
    sweep = Sweep.open(outcome, SweepFolder(Path(outcome.storage), outcome.name))
    plots = {figure.title: go.Figure(figure.plot) for section in sections_of(sweep) for figure in section.figures}
    for title, plot in plots.items():
        plot.update_layout(title=title, margin={"t": 80}, template="plotly_white")
    return plots
