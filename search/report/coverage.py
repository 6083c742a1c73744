"""How many texts of the target each padding length holds whole."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from search.report.numbers import percent
from search.report.parts import Section, Table, as_figure
from search.report.sweep import Sweep
from search.study.trial_settings import trial_config
from trainable.errors import ConfigError
from trainable.inputs.prepare import tokenized_dataset_of

PADDING_LENGTH = "target.padding_length"
_PERCENTILES = (50, 75, 90, 95, 99, 100)


def coverage_section(sweep: Sweep, lengths: NDArray[np.int64] | None) -> Section:
    """Return the share of the training texts that each padding length holds whole.

    Args:
        sweep: the sweep.
        lengths: see `text_lengths`.
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


def covered(lengths: NDArray[np.int64], length: int) -> float:
    """Return the share of texts that are not longer."""
    return float((lengths <= length).mean())


def text_lengths(sweep: Sweep) -> NDArray[np.int64] | None:
    """Return the tokens of each training text of the target, shape (N,); None for images, or if it cannot be read."""
    records = sweep.finished or sweep.outcome.trials
    if not records:
        return None
    config = trial_config(sweep.plan, records[0])
    if config.dataset_of(config.target).has_images:
        return None
    try:
        split = tokenized_dataset_of(config, config.target, sweep.plan.workspace(sweep.folder.storage)).splits["train"]
    except (ConfigError, OSError):  # the data or the encoder are no longer where they were
        return None
    stage = config.target.model_copy(update={"padding_length": split.tokens.longest()})
    return split.tokens.inputs(np.arange(len(split.tokens)), stage).lengths
