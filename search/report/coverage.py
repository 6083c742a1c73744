"""How many texts of the target each padding length holds whole."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from search.advice.lengths import PADDING_LENGTH, covered
from search.advice.sweep import Sweep
from search.report.parts import Section, Table, as_figure
from search.wording import percent

_PERCENTILES = (50, 75, 90, 95, 99, 100)


def coverage_section(sweep: Sweep, lengths: NDArray[np.int64] | None) -> Section:
    """Return the share of the training texts that each padding length holds whole.

    Args:
        sweep: the sweep.
        lengths: tokens of each text, see `search.advice.lengths`.
    """
    if lengths is None:
        return Section("Padding length")
    searched = {length for length, _ in sweep.finished_by(PADDING_LENGTH)}
    percentiles = {int(np.quantile(lengths, percent / 100, method="higher")) for percent in _PERCENTILES}
    rows = tuple(
        (str(length), percent(covered(lengths, length)), "yes" if length in searched else "")
        for length in sorted(searched | percentiles)
    )
    there = np.unique(lengths)
    plot = go.Figure(go.Scatter(x=there, y=[covered(lengths, length) for length in there], line={"shape": "hv"}))
    plot.update_xaxes(title_text="padding length in tokens")
    plot.update_yaxes(title_text="share of whole texts", tickformat=".0%", range=[0, 1.02])
    text = f"The share of the {len(lengths)} training texts that a padding length holds whole, with special tokens."
    table = Table("Training texts held whole", ("padding length", "share of texts", "in a finished trial"), rows)
    return Section("Padding length", figures=[as_figure(plot, "Texts held whole by padding length", text, table)])
